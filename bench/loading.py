"""Time and memory of loading all clips once per epoch: decoding the files, or reading the cache. No training.

    uv run bench/loading.py [--path FOLDER]

FOLDER is in ESC-50's layout; without it, clips of five seconds are synthesized. The methods take turns, each in a new
process, so that their memory can be measured. Memory includes mapped pages of the cache, which the system can reclaim.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import SAMPLE_RATE, SPECS, cached_clips
from fastaudio_norm.data import get_dls, make_clips, read_esc50

METHODS = {  # name: (use the cache, number of worker processes)
    "decode the files": (False, 0),
    "decode the files, 2 workers": (False, 2),
    "read the cache": (True, 0),
}
SECONDS = 5


def memory():
    "Peak resident memory of this process, MB."
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3


def load(path, method, spec, epochs, cache):
    "Load all clips for some epochs; print the seconds of each epoch and the added memory as JSON."
    from fastaudio.augment.signal import ResizeSignal

    cached, workers = METHODS[method]
    df, before, start = read_esc50(path), memory(), time.perf_counter()
    clips = cached_clips(df, path, SAMPLE_RATE, SECONDS, cache) if cached else None
    prepared = time.perf_counter() - start
    item_tfms = None if cached else [ResizeSignal(1000 * SECONDS)]
    batch_tfms = [SPECS["mel"]()] if spec else None
    dls = get_dls(df, path, item_tfms=item_tfms, batch_tfms=batch_tfms, clips=clips, num_workers=workers)
    seconds = []
    for _ in range(epochs):
        start, n = time.perf_counter(), 0
        for dl in dls:
            n += sum(len(x) for x, _ in dl)
        seconds.append(time.perf_counter() - start)
    size = clips.path.stat().st_size if cached else 0
    print(json.dumps({"clips": n, "prepared": prepared, "epochs": seconds, "mb": memory() - before, "bytes": size}))


def measure(path, method, spec, epochs, cache):
    command = [sys.executable, __file__, "--path", path, "--method", method, "--epochs", epochs, "--cache", cache]
    command = [*map(str, command), *(["--spec"] if spec else [])]
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def compare(path, rounds, epochs):
    for spec in (False, True):
        runs = {method: [] for method in METHODS}
        with tempfile.TemporaryDirectory() as cache:
            for _ in range(rounds):
                for method in METHODS:
                    runs[method].append(measure(path, method, spec, epochs, cache))
        median = {
            method: statistics.median(s for run in found for s in run["epochs"][1:]) for method, found in runs.items()
        }
        rows = [
            {
                "": method,
                "epoch (s)": median[method],
                "ms per clip": 1e3 * median[method] / found[0]["clips"],
                "speedup": median["decode the files"] / median[method],
                "added memory (MB)": max(run["mb"] for run in found),
            }
            for method, found in runs.items()
        ]
        print(f"\n{'Waveforms and mel spectrograms' if spec else 'Waveforms'}, all epochs but the first")
        print(pd.DataFrame(rows).round(2).to_string(index=False))
    filled = runs["read the cache"][0]
    to_esc50, mb = 2000 / filled["clips"], filled["bytes"] / 1e6
    print(f"\n{filled['clips']} clips of {SECONDS} s: {mb:.0f} MB on disk, made in {filled['prepared']:.1f} s")
    print(
        f"For the 2,000 clips of ESC-50: {mb * to_esc50:.0f} MB, made in {filled['prepared'] * to_esc50:.0f} s, "
        f"and at most {filled['mb'] + mb * (to_esc50 - 1):.0f} MB of memory"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="folder in ESC-50's layout; default: synthetic clips")
    parser.add_argument("--rounds", type=int, default=2, help="processes per method")
    parser.add_argument("--epochs", type=int, default=3, help="epochs per round; the first does not count")
    parser.add_argument("--method", choices=METHODS, help=argparse.SUPPRESS)
    parser.add_argument("--spec", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.method:
        return load(args.path, args.method, args.spec, args.epochs, args.cache)
    with tempfile.TemporaryDirectory() as synthetic:
        path = args.path or make_clips(synthetic, per_fold=4, seconds=SECONDS)
        print(f"{path}, {os.cpu_count()} cores")
        compare(path, args.rounds, args.epochs)


if __name__ == "__main__":
    main()
