"""Kill `compare` at random moments: its results must equal those of an undisturbed run, byte by byte.

    uv run bench/compare_interrupted.py [--kills 20] [--jobs 2 | --torchrun 2]

Runs on synthetic clips. The undisturbed run has one process. With --jobs or --torchrun, the runs that are killed have
several; each time one of them is killed, chosen at random, and all others must end by themselves. The order of the rows
may then differ. Exits with status 1 if the results differ.
"""

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fastaudio_norm.data import make_clips

SETTING = "--norms none wave local channel --runs 3 --epochs 1 --bs 16 --arch test_resnet"


PROGRAM = "from fastaudio_norm.cli.main import main; main()"


def start(path, out, jobs=1, ranks=1):
    "Start `compare`, with `jobs` processes, or by torchrun with `ranks` processes."
    command = [sys.executable, "-c", PROGRAM]
    if ranks > 1:
        program = path / "program.py"
        program.write_text(PROGRAM)
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", program]
    command += ["compare", "--path", path, "--cache", out / "cache", "--out", out, "--jobs", jobs, *SETTING.split()]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def trainers(process):
    "Ids of the process and of the processes that it has started to train networks."
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
    except OSError:
        return [process.pid]
    return [process.pid, *(pid for pid, text in commands.items() if "spawn_main" in text or "program.py" in text)]


def finished_runs(out):
    "Number of training runs whose results are saved."
    return sum(file.read_bytes().count(b"\n") - 1 for file in out.glob("*.jsonl"))


def kill_after(seconds, process, rng=None):
    "Kill the process, or a random one of its `trainers`, after `seconds`. False if it has ended before."
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.kill(rng.choice(trainers(process)) if rng else process.pid, signal.SIGKILL)
        process.wait(60)  # the others must end too
        return True


def until_first_run(process, out):
    "Wait until a run is saved or the process ends. Returns the seconds."
    began = time.monotonic()
    while process.poll() is None and not finished_runs(out):
        time.sleep(0.1)
    return time.monotonic() - began


def run_undisturbed(path, out):
    "Seconds until the first run is saved, and mean seconds of each later run."
    began, process = time.monotonic(), start(path, out)
    first = until_first_run(process, out)
    if process.wait():
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
    several = parser.add_mutually_exclusive_group()
    several.add_argument("--jobs", type=int, default=1, help="processes of `compare --jobs` (default: 1)")
    several.add_argument("--torchrun", type=int, default=1, help="processes of torchrun (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the moments (default: 0)")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        path, undisturbed, killed = (Path(folder) / name for name in ("clips", "undisturbed", "killed"))
        make_clips(path, per_fold=1, seconds=0.5)
        first, each = run_undisturbed(path, undisturbed)
        runs = finished_runs(undisturbed)
        if args.jobs > 1 or args.torchrun > 1:  # several processes take longer to start
            process = start(path, Path(folder) / "started", args.jobs, args.torchrun)
            first = until_first_run(process, Path(folder) / "started")
            process.kill()
            process.wait(60)
        print(f"Undisturbed: {runs} runs, the first after {first:.1f} s, then one every {each:.1f} s", flush=True)
        longest = longest_wait(first, runs * each / max(args.jobs, args.torchrun), args.kills)
        for number in range(1, args.kills + 1):
            seconds = rng.uniform(0, longest)
            if not kill_after(seconds, start(path, killed, args.jobs, args.torchrun), rng):
                sys.exit(f"`compare` ended before kill {number}: increase --runs in SETTING, or take another --seed")
            print(f"Kill {number:2} after {seconds:4.1f} s: {finished_runs(killed)} runs are saved", flush=True)
        if start(path, killed, args.jobs, args.torchrun).wait():
            sys.exit("`compare` failed after the kills")
        [expected], [found] = (list(out.glob("*.jsonl")) for out in (undisturbed, killed))
        rows = [file.read_bytes().splitlines() for file in (expected, found)]
        if args.jobs > 1 or args.torchrun > 1:
            rows = [sorted(lines) for lines in rows]
        same = found.name == expected.name and rows[0] == rows[1]
        print(f"After {args.kills} kills and a complete run, the results are {'identical' if same else 'different'}")
        sys.exit(not same)


if __name__ == "__main__":
    main()
