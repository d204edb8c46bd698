"""What loading the clips costs in each epoch, decoded each time or from the cache; no network is trained.

    uv run bench/loading.py [--path FOLDER]

FOLDER is in ESC-50's layout; without it, clips of five seconds are made up. Each way of loading has a process of its
own, in turns, so that its memory is its own; what it maps from the cache counts, though the system can take it back.
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
from fastaudio_norm.audio.cache import cached_clips
from fastaudio_norm.audio.spectrograms import SAMPLE_RATE, SPECS
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.data.synthetic import make_clips

WAYS = {  # name: whether from the cache; processes that load
    "decoded each time": (False, 0),
    "decoded each time, 2 workers": (False, 2),
    "from the cache": (True, 0),
}
SECONDS = 5


def memory():
    "Largest resident memory of this process so far, MB."
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1e3


def load(path, way, spec, epochs, cache):
    "Seconds of each epoch, and MB that loading added; printed as JSON."
    from fastaudio.augment.signal import ResizeSignal

    cached, workers = WAYS[way]
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


def measured(path, way, spec, epochs, cache):
    command = [sys.executable, __file__, "--path", path, "--way", way, "--epochs", epochs, "--cache", cache]
    command = [*map(str, command), *(["--spec"] if spec else [])]
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(out.stdout.splitlines()[-1])


def compare(path, rounds, epochs):
    for spec in (False, True):
        runs = {way: [] for way in WAYS}
        with tempfile.TemporaryDirectory() as cache:
            for _ in range(rounds):
                for way in WAYS:
                    runs[way].append(measured(path, way, spec, epochs, cache))
        median = {way: statistics.median(s for run in found for s in run["epochs"][1:]) for way, found in runs.items()}
        rows = [
            {
                "": way,
                "epoch (s)": median[way],
                "ms a clip": 1e3 * median[way] / found[0]["clips"],
                "times as fast": median["decoded each time"] / median[way],
                "memory (MB)": max(run["mb"] for run in found),
            }
            for way, found in runs.items()
        ]
        print(f"\n{'Waveforms and mel spectrograms' if spec else 'Waveforms'}, epochs after the first")
        print(pd.DataFrame(rows).round(2).to_string(index=False))
    filled = runs["from the cache"][0]
    to_esc50, mb = 2000 / filled["clips"], filled["bytes"] / 1e6
    print(f"\n{filled['clips']} clips of {SECONDS} s: {mb:.0f} MB on disk, filled in {filled['prepared']:.1f} s")
    print(
        f"ESC-50's 2,000 would take {mb * to_esc50:.0f} MB, {filled['prepared'] * to_esc50:.0f} s to fill, "
        f"and at the most {filled['mb'] + mb * (to_esc50 - 1):.0f} MB of memory"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", help="folder in ESC-50's layout; default: made-up clips")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=3, help="of each round; the first does not count")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--spec", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--cache", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        return load(args.path, args.way, args.spec, args.epochs, args.cache)
    with tempfile.TemporaryDirectory() as made_up:
        path = args.path or make_clips(made_up, per_fold=4, seconds=SECONDS)
        print(f"{path}, {os.cpu_count()} cores")
        compare(path, args.rounds, args.epochs)


if __name__ == "__main__":
    main()
