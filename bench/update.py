"""What updated statistics win back of the accuracy that a changed microphone has cost.

    uv run bench/update.py FOLDER [--epochs 10] [--runs 3]

FOLDER is in ESC-50's layout. Networks are trained on folds 1 to 4 with statistics of these; then fold 5 arrives with
everything above 4 kHz gone, and statistics are blended with those of what arrives. No label of it is used.
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
from fastaudio_norm.audio.cache import cached_clips
from fastaudio_norm.audio.spectrograms import SAMPLE_RATE
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import find_audio, read_esc50
from fastaudio_norm.measure import measure_files
from fastaudio_norm.serve.classifier import as_pipeline, predict
from fastaudio_norm.train.learner import train_run
from fastaudio_norm.train.recipe import Recipe, make_tfms

HELD_OUT, CUTOFF, WEIGHTS = 5, 4000, (0.25, 0.5, 0.75, 0.9, 1.0)
NORMS = ("global", "channel", "local-channel")


def muffled(files, out):
    for file in files:
        samples, rate = soundfile.read(file)
        low = scipy.signal.butter(8, CUTOFF, "lowpass", fs=rate, output="sos")
        soundfile.write(out / f"{file.stem}.wav", scipy.signal.sosfilt(low, samples), rate, subtype="FLOAT")
    return [out / f"{file.stem}.wav" for file in files]


def accuracy(classifier, files, truth):
    best = [classifier.classes[next(predict(classifier, file)).probabilities.argmax()] for file in files]
    return (truth == best).mean()


def accuracies(df, path, clips, norm, epochs, seed, known, live, files, changed):
    dls = get_dls(df, path, HELD_OUT, 64, *make_tfms(norm, Recipe()), SAMPLE_RATE, clips, num_workers=0)
    classifier = as_pipeline(train_run(dls, Recipe(epochs=epochs), seed=seed))
    truth = df.category[df.fold == HELD_OUT]
    row = {"as they are": accuracy(classifier, files, truth), "muffled": accuracy(classifier, changed, truth)}
    for weight in WEIGHTS if norm != "local-channel" else ():
        classifier.renormalize(known.blended(live, weight))
        row[f"weight {weight}"] = accuracy(classifier, changed, truth)
        if weight == WEIGHTS[-1]:
            row[f"as they are, {weight}"] = accuracy(classifier, files, truth)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder in ESC-50's layout")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--norms", nargs="+", default=NORMS)
    args = parser.parse_args()
    df, rows = read_esc50(args.path), []
    clips = cached_clips(df, args.path)
    files = [args.path / "audio" / name for name in df.filename[df.fold == HELD_OUT]]
    with tempfile.TemporaryDirectory() as folder:
        changed = muffled(files, Path(folder))
        known = measure_files(find_audio(args.path, exclude=[HELD_OUT])).recorder
        live = measure_files(changed).recorder
        every = [(norm, seed) for norm in args.norms for seed in range(args.runs)]
        for norm, seed in tqdm(every, unit="run"):
            found = accuracies(df, args.path, clips, norm, args.epochs, seed, known, live, files, changed)
            rows.append({"norm": norm, **found})
            tqdm.write(f"{norm}, run {seed}: " + ", ".join(f"{name} {value:.1%}" for name, value in found.items()))
    table = pd.DataFrame(rows).groupby("norm", sort=False).mean()
    print(f"\nMean accuracy of {args.runs} runs on {len(files)} clips of fold {HELD_OUT}, nothing above {CUTOFF} Hz:")
    print((table * 100).round(1).replace(np.nan, "").T.to_string())


if __name__ == "__main__":
    main()
