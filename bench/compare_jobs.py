"""Wall time of `compare` with several jobs, beside one process with as many threads.

    uv run bench/compare_jobs.py [--jobs 2] [--rounds 3]

Runs the whole command on synthetic clips, including its start. Both ways alternate. Prints the load of the machine,
which must be idle for a fair comparison.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastaudio_norm.data import make_clips

PROGRAM = "from fastaudio_norm.cli.main import main; main()"
SETTING = "--norms none channel --folds 1 2 --runs 2 --bs 32"


def seconds(path, out, jobs, threads, epochs):
    "Seconds of a comparison with `jobs` processes, which share `threads` threads."
    command = [sys.executable, "-c", PROGRAM, "compare", "--path", path, "--cache", path / "cache", "--out", out]
    command += ["--jobs", jobs, "--epochs", epochs, *SETTING.split()]
    began = time.perf_counter()
    env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(list(map(str, command)), check=True, capture_output=True, env=env)
    return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="number of jobs, and of threads (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is timed (default: 3)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each of the eight runs (default: 10)")
    args = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        path = make_clips(Path(folder) / "clips", per_fold=4, seconds=2)
        seconds(path, Path(folder) / "warm-up", 1, args.jobs, 1)  # caches the clips
        for number in range(args.rounds):
            out, load = (Path(folder) / f"{name}-{number}" for name in ("one", "several")), os.getloadavg()[0]
            one, several = (seconds(path, o, jobs, args.jobs, args.epochs) for o, jobs in zip(out, (1, args.jobs)))
            ratios.append(several / one)
            times = f"one process {one:.1f} s, {args.jobs} jobs {several:.1f} s, ratio {ratios[-1]:.2f}"
            print(f"{times} (load average before: {load:.1f})", flush=True)
    print(f"Median ratio: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
