"""Kill `compare` at random moments: its results must equal those of an undisturbed run, byte by byte.

    uv run bench/compare_interrupted.py [--kills 20]

Runs on synthetic clips. Exits with status 1 if the results differ.
"""

import argparse
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastaudio_norm.data import make_clips

SETTING = "--norms none wave local channel --runs 3 --epochs 1 --bs 16"


def start(path, out):
    command = [sys.executable, "-c", "from fastaudio_norm.cli.main import main; main()", "compare"]
    command += ["--path", str(path), "--cache", str(out / "cache"), "--out", str(out), *SETTING.split()]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finished_runs(out):
    "Number of training runs whose results are saved."
    return sum(file.read_bytes().count(b"\n") - 1 for file in out.glob("*.jsonl"))


def kill_after(seconds, process):
    "Kill the process after `seconds`. False if it has ended before."
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True


def run_undisturbed(path, out):
    "Seconds until the first run is saved, and mean seconds of each later run."
    began, first = time.monotonic(), None
    process = start(path, out)
    while process.poll() is None:
        if first is None and finished_runs(out) > 0:
            first = time.monotonic() - began
        time.sleep(0.1)
    if process.returncode:
        sys.exit(f"`compare` ended with status {process.returncode}, expected 0")
    return first, (time.monotonic() - began - first) / (finished_runs(out) - 1)


def longest_wait(
    first,  # seconds until the first progress is saved
    seconds,  # seconds of work after that
    kills,  # number of kills that the work must outlast
):
    "Longest random wait before a kill, in seconds: about 60 % of the work is then done after the last kill."
    share = 0.6 * seconds / max(kills, 1)
    return first + share + math.sqrt(share**2 + 2 * share * first)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="number of kills (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the moments (default: 0)")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        path, undisturbed, killed = (Path(folder) / name for name in ("clips", "undisturbed", "killed"))
        make_clips(path, per_fold=1, seconds=0.5)
        first, each = run_undisturbed(path, undisturbed)
        runs = finished_runs(undisturbed)
        print(f"Undisturbed: {runs} runs, the first after {first:.1f} s, then one every {each:.1f} s", flush=True)
        longest = longest_wait(first, runs * each, args.kills)
        for number in range(1, args.kills + 1):
            seconds = rng.uniform(0, longest)
            if not kill_after(seconds, start(path, killed)):
                sys.exit(f"`compare` ended before kill {number}: increase --runs in SETTING, or take another --seed")
            print(f"Kill {number:2} after {seconds:4.1f} s: {finished_runs(killed)} runs are saved", flush=True)
        if start(path, killed).wait():
            sys.exit("`compare` failed after the kills")
        [expected], [found] = (list(out.glob("*.jsonl")) for out in (undisturbed, killed))
        same = found.name == expected.name and found.read_bytes() == expected.read_bytes()
        print(f"After {args.kills} kills and a complete run, the results are {'identical' if same else 'different'}")
        sys.exit(not same)


if __name__ == "__main__":
    main()
