"""Accuracy, size and speed of int8 exports, beside float32.

    uv run bench/int8.py FOLDER [--folds 1 2 3 4 5] [--epochs 20] [--norms none channel] [--arch xresnet18] [--out DIR]

FOLDER is in the layout of ESC-50. For each normalization and fold, a network is trained on the other folds, exported to
ONNX in float32 and int8, and both files classify the clips of the fold with onnxruntime. Trained models stay in DIR, so
that a repeated run continues.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from timing import median_ms, where
from tqdm import tqdm

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import cached_clips
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.serve import SoundClassifier, as_pipeline, load_model, predict
from fastaudio_norm.serve.int8 import quantize_network
from fastaudio_norm.train import Recipe, make_tfms, train_run


def trained(df, path, clips, norm, fold, args):
    "Classifier that was trained on all folds but one, from its file if it exists."
    file = args.out / f"{args.arch}-{norm}-{fold}-{args.epochs}.safetensors"
    if not file.exists():
        recipe = Recipe(epochs=args.epochs)
        item_tfms, batch_tfms = make_tfms(norm, recipe)
        tfms = {"item_tfms": item_tfms, "batch_tfms": batch_tfms}
        dls = get_dls(df, path, fold=fold, **tfms, clips=clips, in_memory=True, num_workers=0)
        bar = tqdm(total=args.epochs, desc=f"{norm}, fold {fold}", unit="epoch", leave=False)
        learn = train_run(dls, recipe, args.arch, each_epoch=lambda learn: bar.update())
        bar.close()
        as_pipeline(learn).save(file)
    return SoundClassifier.load(file)


def compared(classifier, files, truth, rounds, out):
    "Accuracies, differences, sizes and times of the two exports."
    names = {"float32": out / "float32.onnx", "int8": out / "int8.onnx"}
    classifier.to_onnx(names["float32"])
    quantize_network(names["float32"], names["int8"])
    models = {name: load_model(file) for name, file in names.items()}
    probabilities = {
        name: np.stack([next(predict(model, file)).probabilities for file in tqdm(files, desc=name, leave=False)])
        for name, model in models.items()
    }
    best = {name: np.array(classifier.classes)[p.argmax(1)] for name, p in probabilities.items()}
    ms = median_ms({n: (lambda f, m=m: next(predict(m, f)), files[:4]) for n, m in models.items()}, rounds, "cpu")
    differences = np.abs(probabilities["int8"] - probabilities["float32"]).max(1)
    row = {f"accuracy {name}": 100 * (found == truth).mean() for name, found in best.items()}
    row |= {"changed decisions": (best["int8"] != best["float32"]).sum()}
    row |= {"largest difference": differences.max(), "median difference": np.median(differences)}
    row |= {f"MB {name}": file.stat().st_size / 1e6 for name, file in names.items()}
    return row | {f"ms {name}": time for name, time in ms.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder in the layout of ESC-50")
    parser.add_argument("--folds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="validation folds (default: all)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs per network (default: 20)")
    parser.add_argument("--norms", nargs="+", default=["none", "channel"], help="default: none channel")
    parser.add_argument("--arch", default="xresnet18", help="network (default: xresnet18)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of timing (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("int8"), help="output folder (default: int8)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    df, rows = read_esc50(args.path), []
    clips = cached_clips(df, args.path)
    for norm in args.norms:
        for fold in args.folds:
            classifier = trained(df, args.path, clips, norm, fold, args)
            held_out = df[df.fold == fold]
            files = [args.path / "audio" / name for name in held_out.filename]
            row = compared(classifier, files, held_out.category.to_numpy(), args.rounds, args.out)
            rows.append({"norm": norm, "fold": fold, **row})
            print(", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()))
    table = pd.DataFrame(rows)
    print(f"\n{where('cpu')}; files of {args.path}; ms: one file, from disk to probabilities")
    print(table.round(4).to_string(index=False))
    print("\nMean over folds:")
    print(table.drop(columns="fold").groupby("norm", sort=False).mean().round(4).T.to_string())


if __name__ == "__main__":
    main()
