"""Accuracy under a changed microphone, before and after updating the statistics.

    uv run bench/update.py FOLDER [--epochs 10] [--runs 3]

FOLDER is in the layout of ESC-50. Networks are trained on folds 1 to 4. The live audio is fold 5 with everything above
4 kHz removed. Its statistics are blended into the training statistics; its labels are used for the accuracy only.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal
import soundfile
from tqdm import tqdm

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import cached_clips
from fastaudio_norm.data import find_audio, get_dls, read_esc50
from fastaudio_norm.measure import measure_files
from fastaudio_norm.serve import as_pipeline, predict
from fastaudio_norm.train import Recipe, make_tfms, train_run

HELD_OUT, CUTOFF, WEIGHTS = 5, 4000, (0.25, 0.5, 0.75, 0.9, 1.0)
NORMS = ("global", "channel", "local-channel")


def low_pass(files, out):
    "Write the files to the folder `out` without frequencies above `CUTOFF` Hz. Returns the new files."
    for file in files:
        samples, rate = soundfile.read(file)
        low = scipy.signal.butter(8, CUTOFF, "lowpass", fs=rate, output="sos")
        soundfile.write(out / f"{file.stem}.wav", scipy.signal.sosfilt(low, samples), rate, subtype="FLOAT")
    return [out / f"{file.stem}.wav" for file in files]


def accuracy(classifier, files, truth):
    best = [classifier.classes[next(predict(classifier, file)).probabilities.argmax()] for file in files]
    return (truth == best).mean()


def accuracies(df, path, clips, norm, epochs, seed, known, live, files, changed):
    recipe = Recipe(epochs=epochs)
    item_tfms, batch_tfms = make_tfms(norm, recipe)
    dls = get_dls(
        df, path, fold=HELD_OUT, bs=64, item_tfms=item_tfms, batch_tfms=batch_tfms, clips=clips, num_workers=0
    )
    classifier = as_pipeline(train_run(dls, recipe, seed=seed))
    truth = df.category[df.fold == HELD_OUT]
    row = {"original": accuracy(classifier, files, truth), "low-pass": accuracy(classifier, changed, truth)}
    for weight in WEIGHTS if norm != "local-channel" else ():
        classifier.renormalize(known.blended(live, weight))
        row[f"low-pass, weight {weight}"] = accuracy(classifier, changed, truth)
        if weight == WEIGHTS[-1]:
            row[f"original, weight {weight}"] = accuracy(classifier, files, truth)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder in the layout of ESC-50")
    parser.add_argument("--epochs", type=int, default=10, help="epochs per network (default: 10)")
    parser.add_argument("--runs", type=int, default=3, help="networks per normalization (default: 3)")
    parser.add_argument("--norms", nargs="+", default=NORMS, help=f"normalizations (default: {' '.join(NORMS)})")
    args = parser.parse_args()
    df, rows = read_esc50(args.path), []
    clips = cached_clips(df, args.path)
    files = [args.path / "audio" / name for name in df.filename[df.fold == HELD_OUT]]
    with tempfile.TemporaryDirectory() as folder:
        changed = low_pass(files, Path(folder))
        known = measure_files(find_audio(args.path, exclude=[HELD_OUT])).recorder
        live = measure_files(changed).recorder
        every = [(norm, seed) for norm in args.norms for seed in range(args.runs)]
        for norm, seed in tqdm(every, unit="run"):
            found = accuracies(df, args.path, clips, norm, args.epochs, seed, known, live, files, changed)
            rows.append({"norm": norm, **found})
            tqdm.write(f"{norm}, run {seed}: " + ", ".join(f"{name} {value:.1%}" for name, value in found.items()))
    table = pd.DataFrame(rows).groupby("norm", sort=False).mean()
    print(f"\nMean accuracy (%) of {args.runs} runs on {len(files)} clips of fold {HELD_OUT}, low-pass at {CUTOFF} Hz:")
    print((table * 100).round(1).replace(np.nan, "").T.to_string())


if __name__ == "__main__":
    main()
