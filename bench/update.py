"""Accuracy under changed recording conditions, before and after each way to adapt a model without labels.

    uv run bench/update.py FOLDER [--epochs 10] [--runs 2] [--folds 1 2 3 4 5] [--weights 0.9] [--out FILE.csv]

FOLDER is in the layout of ESC-50. Networks are trained on all folds but one. The clips of this fold are changed by each
condition: all of them by the same microphone or room, but each of them by its own noise. The networks are adapted to
one half of them, and judged on the other half; the halves have equally many clips of each class, and change from run to
run. "original" is the accuracy on the unchanged clips of the second half after the adaptation. Methods that a model
refuses are left out. Differences are paired with the model before the adaptation; intervals are 95 % ones over folds,
with the correction for overlapping training sets, and need three folds.
"""

import argparse
import copy
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal
import soundfile
import torch
from tqdm import tqdm

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import Condition, cached_clips, make_condition
from fastaudio_norm.comparison import corrected_t_test
from fastaudio_norm.data import find_audio, get_dls, read_esc50
from fastaudio_norm.measure import measure_files
from fastaudio_norm.monitor import adapt_batchnorm, match_bands, network_inputs
from fastaudio_norm.serve import as_pipeline, predict_files
from fastaudio_norm.train import Recipe, make_tfms, train_run

NORMS = ("none", "global", "channel", "pcen")
CONDITIONS = ("microphone:12", "gain:-20", "low-pass", "hum:0", "noise:10", "reverberation:0.6")
OF_EACH_CLIP = ("noise", "hum")  # other conditions belong to the device or the room, which all clips share
METHODS = ("before", "statistics", "batchnorm", "bands")


def low_pass(x, rate, rng, cutoff=4000):
    "Remove everything above `cutoff` Hz."
    return scipy.signal.sosfilt(scipy.signal.butter(8, cutoff, "lowpass", fs=rate, output="sos"), x)


def write_changed(files, name, out, seed):
    "Write the files under a condition to the folder `out`, which is created. Returns the new files."
    out.mkdir(parents=True)
    condition = Condition("low-pass", low_pass) if name == "low-pass" else make_condition(name, seed)
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        x = torch.from_numpy(samples.T)
        shared = name.partition(":")[0] not in OF_EACH_CLIP
        x = condition.draw(x, rate, np.random.default_rng(seed)) if shared else condition(x, rate)
        soundfile.write(out / f"{file.stem}.wav", x.numpy().T, rate, subtype="FLOAT")
    return [out / f"{file.stem}.wav" for file in files]


def halves(labels, seed):
    "Indices of two halves with equally many clips of each class."
    rng = np.random.default_rng(seed)
    order = pd.Series(rng.permutation(len(labels))).sort_values(key=lambda i: labels[i], kind="stable").to_numpy()
    return np.sort(order[::2]), np.sort(order[1::2])


def accuracy(classifier, files, truth):
    best = [classifier.classes[result.probabilities.argmax()] for _, result in predict_files(classifier, files)]
    return (truth == best).mean()


def adapted(classifier, method, known, live, files, weight):
    "A copy that was adapted to `files`; None if the model refuses the method."
    new = copy.deepcopy(classifier)
    try:
        if method == "statistics":
            new.renormalize(known.blended(live, weight))
        elif method == "bands":
            match_bands(new, known, known.blended(live, weight))
        elif method == "batchnorm":
            adapt_batchnorm(new, network_inputs(new, files)[0], weight)
    except ValueError:
        return None
    return new


def rows_of(classifier, known, files, changed, labels, seed, weights):
    "Accuracies by method, weight and condition."
    first, second = halves(labels, seed)
    pick = lambda some, half: [some[i] for i in half]  # noqa: E731
    for condition, now in changed.items():
        live = measure_files(pick(now, first)).recorder
        for method, weight in [("before", 0.0), *((method, weight) for method in METHODS[1:] for weight in weights)]:
            model = adapted(classifier, method, known, live, pick(now, first), weight)
            if model is not None:
                score = partial(accuracy, model, truth=labels[second])
                yield {
                    "condition": condition, "method": method, "weight": weight,
                    "changed": score(pick(now, second)), "original": score(pick(files, second)),
                }  # fmt: skip


def difference(frame):
    "Mean difference to the model before the adaptation with its interval, in points."
    folds = frame.groupby("fold").gain.mean()
    mean, margin, _ = corrected_t_test(folds, 1 / (frame.attrs["folds"] - 1))
    return f"{100 * mean:+.1f}" + ("" if np.isnan(margin) else f" ± {100 * margin:.1f}")


def report(table, n_folds):
    "Print accuracies and differences."
    keys = ["norm", "condition", "fold", "run"]
    before = table[table.method == "before"].set_index(keys).changed
    table = table.assign(gain=table.changed - before.reindex(pd.MultiIndex.from_frame(table[keys])).to_numpy())
    rows = []
    for (norm, method, weight), some in table.groupby(["norm", "method", "weight"], sort=False):
        row = {"norm": norm, "method": method, "weight": weight or ""}
        for condition, part in some.groupby("condition", sort=False):
            part.attrs["folds"] = n_folds
            text = f"{100 * part.changed.mean():.1f}"
            row[condition] = text if method == "before" else f"{text} ({difference(part)})"
        rows.append(row | {"original": f"{100 * some.original.mean():.1f}"})
    print(pd.DataFrame(rows).fillna("").to_string(index=False))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder in the layout of ESC-50")
    parser.add_argument("--epochs", type=int, default=10, help="epochs per network (default: 10)")
    parser.add_argument("--runs", type=int, default=2, help="networks per normalization and fold (default: 2)")
    parser.add_argument("--folds", type=int, nargs="+", help="folds to adapt to and judge on (default: all)")
    parser.add_argument("--norms", nargs="+", default=NORMS, help=f"normalizations (default: {' '.join(NORMS)})")
    parser.add_argument("--conditions", nargs="+", default=CONDITIONS, help=f"(default: {' '.join(CONDITIONS)})")
    parser.add_argument("--weights", type=float, nargs="+", default=[0.9], help="shares of live values (default: 0.9)")
    parser.add_argument("--arch", default="xresnet18", help="network (default: xresnet18)")
    parser.add_argument("--out", type=Path, help="CSV file for the accuracy of each run (default: none)")
    args = parser.parse_args()
    df, rows = read_esc50(args.path), []
    clips = cached_clips(df, args.path)
    folds = args.folds or sorted(df.fold.unique())
    bar = tqdm(total=len(folds) * len(args.norms) * args.runs, unit="network")
    for fold in folds:
        held_out = df[df.fold == fold]
        files, labels = [args.path / "audio" / name for name in held_out.filename], held_out.category.to_numpy()
        known = measure_files(find_audio(args.path, exclude=[fold])).recorder
        with tempfile.TemporaryDirectory() as folder:
            changed = {name: write_changed(files, name, Path(folder, name), fold) for name in args.conditions}
            for norm, run in [(norm, run) for norm in args.norms for run in range(args.runs)]:
                recipe = Recipe(epochs=args.epochs)
                item_tfms, batch_tfms = make_tfms(norm, recipe)
                options = {
                    "fold": fold,
                    "bs": min(64, len(df) - len(held_out)),
                    "item_tfms": item_tfms,
                    "batch_tfms": batch_tfms,
                    "clips": clips,
                }
                dls = get_dls(df, args.path, num_workers=0, **options)
                classifier = as_pipeline(train_run(dls, recipe, args.arch, seed=run))
                found = rows_of(classifier, known, files, changed, labels, run, args.weights)
                rows += [{"norm": norm, "fold": fold, "run": run, **row} for row in found]
                bar.update()
                if args.out:
                    pd.DataFrame(rows).to_csv(args.out, index=False)
    bar.close()
    print(f"\nMean accuracy (%) of {len(folds)} folds and {args.runs} networks each; in brackets, the gain in points:")
    report(pd.DataFrame(rows), df.fold.nunique())


if __name__ == "__main__":
    main()
