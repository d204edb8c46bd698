"""Accuracy with statistics of each device, beside pooled statistics and statistics of each clip.

    uv run bench/groups.py FOLDER [--epochs 20] [--runs 2] [--db 12]

FOLDER is in ESC-50's layout. Each run simulates three microphones, random filters of up to ±12 dB. Training clips are
recorded by the first or the second one, at random. Each validation clip is classified as recorded by one of these two
(seen device), and by the third one (new device), which training never saw. "measured" takes statistics of the new
device from the other half of its validation clips, without their labels: per group as a new group, pooled in place of
the statistics of training. Statistics of each clip need no measurement. Intervals are 95 % ones over folds, with the
correction for overlapping training sets. Runs on a GPU if there is one.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.signal import fftconvolve
from tqdm import tqdm

from fastaudio_norm.audio import SAMPLE_RATE, SPECS, cached_clips, microphone_response
from fastaudio_norm.comparison import corrected_t_test
from fastaudio_norm.compat.groups import with_group
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.train import Recipe, train_run
from fastaudio_norm.transforms import SpecNormalize

AXES, NEW = (0, 1, 3), "new"
NORMS = {
    "pooled": lambda: SpecNormalize(axes=AXES),
    "per group": lambda: SpecNormalize(axes=AXES, group="device"),
    "per clip": lambda: SpecNormalize(axes=(3,)),
}
CASES = ("seen devices", "new device", "new device, measured")


def record(clip, response, device):
    "`clip` as recorded by a microphone with this impulse response; white noise keeps its power."
    samples = fftconvolve(clip.numpy(), response[None] / np.sqrt(np.sum(response**2)), mode="same", axes=-1)
    new = clip.clone()
    new.data = torch.from_numpy(samples).float()
    return with_group(new, device)


def spectrograms(clips, to_spec, device):
    "Spectrograms of clips of equal length, in batches of 64."
    return [to_spec(torch.stack(clips[i : i + 64]).to(device)) for i in range(0, len(clips), 64)]


@torch.no_grad()
def classify(learn, specs, norm):
    "Predicted classes of spectrograms, normalized by `norm`."
    model = learn.model.eval()
    outputs = [model(norm(spec).as_subclass(torch.Tensor).contiguous()) for spec in specs]
    return torch.cat(outputs).argmax(-1).cpu().numpy()


def with_statistics(name, norm, specs):
    "`norm` for a new device with these unlabelled spectrograms."
    recorder = StatsRecorder(AXES)
    for spec in specs:
        recorder.update(spec)
    if name == "pooled":
        return SpecNormalize.from_stats(recorder, AXES)
    norm.add_group(NEW, recorder)
    return norm


def accuracies(name, learn, norm, seen, new, truth):
    "Accuracy in each of the `CASES` on clips of seen devices and of a new one."
    device, to_spec = learn.dls.device, SPECS["mel"]()
    found = {"seen devices": classify(learn, spectrograms(seen, to_spec, device), norm) == truth}
    found["new device"] = classify(learn, spectrograms(new, to_spec, device), norm) == truth
    if norm.of_dataset:
        halves = [spectrograms(new[i::2], to_spec, device) for i in range(2)]
        right = np.zeros(len(new), bool)
        for i in range(2):
            own = with_statistics(name, norm, halves[1 - i])
            right[i::2] = classify(learn, halves[i], own) == truth[i::2]
        found["new device, measured"] = right
    return {case: right.mean() for case, right in found.items()}


def run_fold(df, path, clips, fold, run, args):
    "Train with each normalization on the same simulated recordings; rows of accuracies."
    rng = np.random.default_rng([args.seed + run, int(fold)])
    responses = {device: microphone_response(rng, SAMPLE_RATE, args.db) for device in ("A", "B", NEW)}
    df = df.assign(device=rng.choice(["A", "B"], len(df)))
    recorded = {name: record(clips[name], responses[d], d) for name, d in zip(df.filename, df.device)}
    valid = df[df.fold == fold]
    seen = [recorded[name] for name in valid.filename]
    new = [record(clips[name], responses[NEW], NEW) for name in valid.filename]
    recipe = Recipe(epochs=args.epochs)
    for name, make in NORMS.items():
        norm, start = make(), time.perf_counter()
        dls = get_dls(
            df, path, fold, bs=args.bs, batch_tfms=[SPECS["mel"](), norm], clips=recorded, in_memory=True,
            group="device", num_workers=0,
        )  # fmt: skip
        learn = train_run(dls, recipe, args.arch, seed=args.seed + run)
        truth = np.array([dls.vocab.o2i[label] for label in valid.category])
        row = accuracies(name, learn, norm, seen, new, truth)
        seconds = time.perf_counter() - start
        tqdm.write(f"fold {fold}, run {run}, {name}: {format_row(row)} ({seconds:.0f} s)")
        yield {"fold": fold, "run": run, "norm": name, **row}


def format_row(row):
    return ", ".join(f"{case} {value:.1%}" for case, value in row.items())


def cell(values, valid_per_train):
    if values.isna().all():
        return ""
    mean, half, _ = corrected_t_test(100 * values, valid_per_train)
    return f"{mean:.1f} ± {half:.1f}"


def report(rows, valid_per_train):
    "Accuracies, and differences between per-group normalization and the others, in percent."
    by_fold = rows.groupby(["norm", "fold"], sort=False)[[case for case in CASES if case in rows]].mean()
    table = {norm: by_fold.loc[norm].apply(cell, valid_per_train=valid_per_train) for norm in NORMS}
    print(f"\nAccuracy (%) over {rows.fold.nunique()} folds, mean of {rows.run.nunique()} runs, ± 95 % interval:")
    print(pd.DataFrame(table).T.to_string())
    filled = by_fold.assign(**{CASES[2]: by_fold[CASES[2]].fillna(by_fold[CASES[1]])})  # per clip: nothing to measure
    differences = {
        f"per group - {other}": (filled.loc["per group"] - filled.loc[other]).apply(
            cell, valid_per_train=valid_per_train
        )
        for other in ("pooled", "per clip")
    }
    print("\nDifferences in points, ± 95 % interval (per clip needs no measurement):")
    print(pd.DataFrame(differences).T.to_string())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder in the layout of ESC-50")
    parser.add_argument("--epochs", type=int, default=20, help="epochs per network (default: 20)")
    parser.add_argument("--runs", type=int, default=2, help="sets of devices and networks for each fold (default: 2)")
    parser.add_argument("--db", type=float, default=12.0, help="strength of the filters (default: 12 dB)")
    parser.add_argument("--folds", type=int, nargs="+", help="validation folds (default: all)")
    parser.add_argument("--arch", default="xresnet18", help="network (default: xresnet18)")
    parser.add_argument("--bs", type=int, default=64, help="clips per batch (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first run (default: 0)")
    parser.add_argument("--out", type=Path, help="CSV file for the accuracy of each network")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", "No statistics of 'new'")
    df = read_esc50(args.path)
    clips, rows = cached_clips(df, args.path), []
    folds = args.folds or sorted(df.fold.unique().tolist())
    for fold in folds:
        for run in range(args.runs):
            rows += run_fold(df, args.path, clips, fold, run, args)
            if args.out:
                pd.DataFrame(rows).to_csv(args.out, index=False)
    sizes = df.fold.value_counts()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"\n{args.path}: {len(df):,} clips; {args.epochs} epochs; filters up to ±{args.db:g} dB; {where}")
    report(pd.DataFrame(rows), float(sizes[folds].mean() / (len(df) - sizes[folds].mean())))


if __name__ == "__main__":
    main()
