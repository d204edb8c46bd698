"""Memory of `stats` on 10,000 clips, and its statistics after it was killed at random moments.

    uv run bench/measure_interrupted.py [--clips 10000] [--kills 20]

Runs on synthetic clips of a quarter of a second, 1 % of which are damaged. Exits with status 1 if the statistics differ
from those of an undisturbed run, or if a number of clips is wrong.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from compare_interrupted import kill_after, longest_wait
from tqdm import tqdm

from fastaudio_norm.stats import StatsRecorder

PROGRAM = """
import sys
from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import checkpoint
checkpoint.SAVE_INTERVAL = 1.0
main(sys.argv[1:])
"""
SR = 16000  # Hz


def write_clips(folder, clips):
    "Write clips of noise, one in a hundred truncated, with NaN, text, or empty. Returns the number of damaged clips."
    rng, damaged = np.random.default_rng(0), 0
    for i in tqdm(range(clips), "Writing clips", unit="clip", leave=False):
        file = folder / f"{i:06}.wav"
        soundfile.write(file, rng.normal(0, 10 ** rng.uniform(-3, -1), SR // 4), SR, subtype="FLOAT")
        if i % 100 == 50:
            content = file.read_bytes()
            damages = (content[: len(content) // 2], content[:-4] + b"\xff" * 4, b"Dear diary", b"")
            file.write_bytes(damages[damaged % len(damages)])
            damaged += 1
    return damaged


def start(folder, out):
    command = [sys.executable, "-c", PROGRAM, "stats", str(folder), "--on-error", "skip", "--out", str(out)]
    env = {**os.environ, "MPLBACKEND": "agg"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)


def peak_memory(pid):
    "Peak memory in MB of a process and of each of its children; empty if the process has ended."
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        lines = [line for p in (pid, *children) for line in Path(f"/proc/{p}/status").read_text().splitlines()]
    except OSError:
        return []
    return [int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")]


def run_undisturbed(folder, out):
    "Seconds, seconds until the first checkpoint, and peak memory in MB of the main process and of its largest worker."
    began, first, parent, worker = time.monotonic(), None, 0, 0
    process = start(folder, out)
    while process.poll() is None:
        mb, *workers = peak_memory(process.pid) or [0]
        parent, worker = max(parent, mb), max(worker, *workers, 0)
        if first is None and (out / "stats.part.json").exists():
            first = time.monotonic() - began
        time.sleep(0.1)
    if process.returncode != 3:
        sys.exit(f"`stats` ended with status {process.returncode}, expected 3 (some files were skipped)")
    return time.monotonic() - began, first, parent, worker


def measure_size(folder, clips):
    """Print time and memory for a number of clips.

    Returns the folders of clips and results, seconds until the first checkpoint (or None), and seconds in total.
    """
    path, out = folder / f"{clips} clips", folder / f"{clips} undisturbed"
    path.mkdir()
    damaged = write_clips(path, clips)
    seconds, first, parent, worker = run_undisturbed(path, out)
    about = StatsRecorder.load(out / "stats.json").about
    skipped = len(about["skipped"])
    print(f"{clips:,} clips: {about['clips']:,} measured, {skipped} of {damaged} damaged ones reported, ", end="")
    print(f"{seconds:.0f} s, peak memory {parent:,.0f} MB, {worker:,.0f} MB in a worker", flush=True)
    if about["clips"] != clips - damaged or skipped != damaged:
        sys.exit(f"Expected {clips - damaged} measured and {damaged} skipped clips")
    return path, out, first, seconds


def digest(out):
    return hashlib.sha256((out / "stats.json").read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000, help="number of clips (default: 10000)")
    parser.add_argument("--kills", type=int, default=20, help="how many times to kill the process (default: 20)")
    args = parser.parse_args()
    rng, same = random.Random(0), True
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        measure_size(folder, args.clips // 10)
        path, undisturbed, first, seconds = measure_size(folder, args.clips)
        if first is None:
            sys.exit(f"No checkpoint was saved within {seconds:.0f} s: use more --clips")
        killed, kills = folder / "killed", 0
        longest = longest_wait(first, seconds - first, args.kills)
        while kills < args.kills:
            if kill_after(rng.uniform(0, longest), start(path, killed)):
                kills += 1
                part = killed / "stats.part.json"
                done = json.loads(part.read_text())["content"]["done"] if part.exists() else 0
                print(f"Kill {kills:2}: {done:,} clips are saved", flush=True)
            else:
                same &= digest(killed) == digest(undisturbed)
                (killed / "stats.json").unlink()
                print("The run was complete before the next kill; starting from the first clip")
        start(path, killed).wait()
        same &= digest(killed) == digest(undisturbed)
        print(f"After {kills} kills and a complete run, the statistics are {'identical' if same else 'different'}")
        sys.exit(not same)


if __name__ == "__main__":
    main()
