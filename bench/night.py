"""A folder of 10,000 clips of which one in a hundred is bad: memory of `stats`, and what it ends in when it is killed.

    uv run bench/night.py [--clips 10000] [--kills 20]

On made-up clips of a quarter of a second. Ends with status 1 if the files of statistics differ, or a count is wrong.
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
from kills import longest_wait
from tqdm import tqdm

from fastaudio_norm.stats.recorder import StatsRecorder

PROGRAM = "import sys; from fastaudio_norm import measure; measure.SAVE_INTERVAL = 1.0; "
PROGRAM += "from fastaudio_norm.cli.main import main; main(sys.argv[1:])"
SR = 16000


def write(folder, clips):
    "Every hundredth is cut short, holds NaN, is a text, or is empty; returns how many."
    rng, bad = np.random.default_rng(0), 0
    for i in tqdm(range(clips), "Making clips", unit="clip", leave=False):
        file = folder / f"{i:06}.wav"
        soundfile.write(file, rng.normal(0, 10 ** rng.uniform(-3, -1), SR // 4), SR, subtype="FLOAT")
        if i % 100 == 50:
            content = file.read_bytes()
            spoiled = (content[: len(content) // 2], content[:-4] + b"\xff" * 4, b"Dear diary", b"")
            file.write_bytes(spoiled[bad % len(spoiled)])
            bad += 1
    return bad


def start(folder, out):
    command = [sys.executable, "-c", PROGRAM, "stats", str(folder), "--on-error", "skip", "--out", str(out)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": {**os.environ, "MPLBACKEND": "agg"}}
    return subprocess.Popen(command, **quiet)


def peak(pid):
    "MB that a process and those that it has started took at most, or None."
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        lines = [line for p in (pid, *children) for line in Path(f"/proc/{p}/status").read_text().splitlines()]
    except OSError:
        return None
    return [int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")]


def undisturbed(folder, out):
    "Seconds, seconds to what is kept first, and MB of the process and of its largest worker."
    began, process, first, parent, worker = time.monotonic(), start(folder, out), None, 0, 0
    while process.poll() is None:
        mb, *others = peak(process.pid) or [0]
        parent, worker = max(parent, mb), max(worker, *others, 0)
        if first is None and (out / "stats.part.json").exists():
            first = time.monotonic() - began
        time.sleep(0.1)
    if process.returncode != 3:
        sys.exit(f"stats ended with status {process.returncode}, not with 3")
    return time.monotonic() - began, first, parent, worker


def digest(out):
    return hashlib.sha256((out / "stats.json").read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    args = parser.parse_args()
    rng, wrong, same = random.Random(0), False, True
    with tempfile.TemporaryDirectory() as folder:
        for clips in (args.clips // 10, args.clips):
            path, whole = Path(folder) / f"{clips}", Path(folder) / f"whole {clips}"
            path.mkdir()
            bad = write(path, clips)
            seconds, first, parent, worker = undisturbed(path, whole)
            about = StatsRecorder.load(whole / "stats.json").about
            skipped = len(about["skipped"])
            wrong |= about["clips"] != clips - bad or skipped != bad
            print(f"{clips:,} clips, {about['clips']:,} measured, {skipped} of {bad} bad ones told: ", end="")
            print(f"{seconds:.0f} s, at most {parent:,.0f} MB, and {worker:,.0f} MB in a worker", flush=True)
        killed, kills = Path(folder) / "killed", 0
        longest = longest_wait(first, seconds - first, args.kills)
        while kills < args.kills:
            process = start(path, killed)
            try:
                process.wait(rng.uniform(0, longest))
                same &= digest(killed) == digest(whole)
                (killed / "stats.json").unlink()
                print("It came to its end before the kills did, and begins anew")
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                part = killed / "stats.part.json"
                done = json.loads(part.read_text())["content"]["done"] if part.exists() else 0
                print(f"Kill {kills:2}: {done:,} clips are kept", flush=True)
        start(path, killed).wait()
        same &= digest(killed) == digest(whole)
        print(f"After {kills} kills: the file of statistics is {'the same' if same else 'another'}, byte by byte")
        sys.exit(not same or wrong)


if __name__ == "__main__":
    main()
