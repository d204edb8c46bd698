"""A comparison killed at random moments, again and again, keeps what an undisturbed one keeps.

    uv run bench/kills.py [--kills 20]

On made-up clips. Ends with status 1 if the files of results differ.
"""

import argparse
import math
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastaudio_norm.data.synthetic import make_clips

SETTING = "--norms none wave local channel --runs 3 --epochs 1 --bs 16"


def command(path, out):
    program = [sys.executable, "-c", "from fastaudio_norm.cli.main import main; main()", "compare"]
    return [*program, "--path", str(path), "--cache", str(out / "cache"), "--out", str(out), *SETTING.split()]


def rows(out):
    return sum(file.read_bytes().count(b"\n") - 1 for file in out.glob("*.jsonl"))


def kill(path, out, seconds):
    "Whether the comparison was still running after so long, and so was killed."
    process = subprocess.Popen(command(path, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    return False


def undisturbed(path, out):
    "Seconds to the first run that is kept, and for each after it."
    start, first = time.monotonic(), None
    process = subprocess.Popen(command(path, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if first is None and rows(out) > 0:
            first = time.monotonic() - start
        time.sleep(0.1)
    if process.returncode:
        sys.exit(f"The comparison ended with status {process.returncode}")
    return first, (time.monotonic() - start - first) / (rows(out) - 1)


def longest_wait(first, seconds, kills):
    "Seconds to wait for a kill at the most, if work takes `seconds` from `first` on and shall outlive the kills."
    share = 0.6 * seconds / max(kills, 1)
    return first + share + math.sqrt(share**2 + 2 * share * first)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        path, whole, killed = (Path(folder) / name for name in ("clips", "whole", "killed"))
        make_clips(path, per_fold=1, seconds=0.5)
        first, each = undisturbed(path, whole)
        print(f"Undisturbed: {rows(whole)} runs, the first after {first:.1f} s, each other {each:.1f} s", flush=True)
        longest = longest_wait(first, rows(whole) * each, args.kills)
        for number in range(1, args.kills + 1):
            seconds = rng.uniform(0, longest)
            if not kill(path, killed, seconds):
                sys.exit("It came to its end before the kills did: there are too few runs")
            print(f"Kill {number:2} after {seconds:4.1f} s: {rows(killed)} runs are kept", flush=True)
        subprocess.run(command(path, killed), check=True, capture_output=True)
        [expected], [found] = (list(out.glob("*.jsonl")) for out in (whole, killed))
        same = found.name == expected.name and found.read_bytes() == expected.read_bytes()
        print(f"Went on to the end: the files of results are {'the same' if same else 'different'}, byte by byte")
        sys.exit(not same)


if __name__ == "__main__":
    main()
