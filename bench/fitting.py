"""Time of fitting `SpecNormalize` to the training split, as a multiple of loading the training clips once.

    uv run bench/fitting.py [FOLDER]

FOLDER is in ESC-50's layout; without it, clips of five seconds are synthesized. Loading decodes the files, or reads the
cache of decoded clips, and makes mel spectrograms in batches of 64. Fitting uses the same loader. Both take turns.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from copy import copy
from functools import partial

from fastaudio_norm.audio import SPECS, cached_clips
from fastaudio_norm.data import get_dls, make_clips, read_esc50
from fastaudio_norm.transforms import SpecNormalize


def seconds(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def load(train):
    for _ in train.new(shuffle=False, drop_last=False):
        pass


def fit(norm, train):
    copy(norm).setups(train)


def compare(path, rounds):
    df = read_esc50(path)
    print(f"{path}, {(df.fold != 1).sum()} training clips, {os.cpu_count()} cores, median of {rounds} rounds")
    print(f"{'':44}{'seconds':>9}{'x loading':>11}")
    for source, workers in (("files", 0), ("files", 2), ("cache", 0), ("cache", 2)):
        clips = cached_clips(df, path) if source == "cache" else None
        train = get_dls(df, path, batch_tfms=[SPECS["mel"]()], clips=clips, num_workers=workers).train
        robust = SpecNormalize(axes=(0, 1, 3), method="robust")
        contenders = {
            f"loading {source}, {workers} workers": partial(load, train),
            "fitting axes=(0, 1, 3)": partial(fit, SpecNormalize(axes=(0, 1, 3)), train),
            "fitting axes=(0, 1, 3), robust": partial(fit, robust, train),
        }
        rows = [{name: seconds(f) for name, f in contenders.items()} for _ in range(rounds + 1)]
        median = {name: statistics.median(row[name] for row in rows[1:]) for name in contenders}  # caches are filled
        loading = next(iter(median.values()))
        for name, s in median.items():
            print(f"{name:44}{s:9.2f}{s / loading:11.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", metavar="FOLDER", help="folder in ESC-50's layout; default: synthetic clips")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds, after one that fills the caches")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*padded")
    with tempfile.TemporaryDirectory() as synthetic:
        compare(args.path or make_clips(synthetic, per_fold=4, seconds=5), args.rounds)


if __name__ == "__main__":
    main()
