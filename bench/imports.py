"""Processor time and memory of imports and short commands, beside those of PyTorch and fastai.

    uv run bench/imports.py [--rounds N]

Each runs in new processes, and all take turns. A first round, which fills the system's and Python's caches, does not
count. Processor time is that of the user and of the system, of all threads.
"""

import argparse
import os
import statistics
import subprocess
import sys

CLI = "from fastaudio_norm.cli.main import main; main({})"
PROGRAMS = {
    "python": "pass",
    "fastaudio-norm --help": CLI.format(["--help"]),
    "fastaudio-norm norms": CLI.format(["norms"]),
    "fastaudio-norm stats (wrong argument)": CLI.format(["stats", "--seed", "x"]),
    "import torch": "import torch",
    "import fastaudio_norm.stats": "import fastaudio_norm.stats",
    "import fastaudio_norm.layers": "import fastaudio_norm.layers",
    "from fastai.vision.all import *": "from fastai.vision.all import *",
    "import fastaudio_norm.all": "import fastaudio_norm.all",
    "both of the last two": "from fastai.vision.all import *; from fastaudio_norm.all import *",
}


def measure(program):
    "Processor time in seconds and peak resident memory in MB of a new Python process."
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="rounds that count (default: 5)")
    rounds = parser.parse_args().rounds
    runs = [{name: measure(program) for name, program in PROGRAMS.items()} for _ in range(rounds + 1)][1:]
    medians = {name: [statistics.median(run[name][i] for run in runs) for i in (0, 1)] for name in PROGRAMS}
    print(f"Medians of {rounds} rounds; ratios of processor time\n")
    print(f"{'':<40}{'CPU s':>8}{'MB':>8}{'torch':>9}{'fastai':>9}")
    peers = [medians[name][0] for name in ("import torch", "from fastai.vision.all import *")]
    for name, (seconds, memory) in medians.items():
        print(f"{name:<40}{seconds:8.2f}{memory:8.0f}" + "".join(f"{seconds / peer:9.2f}" for peer in peers))


if __name__ == "__main__":
    main()
