"""Compare the outputs and the speed of models in all their exported forms.

    uv run --group dev bench/serving.py FOLDER [--epochs 10] [--only one|matrix] [--out DIR]

FOLDER has ESC-50's layout.

one: a network is trained on folds 1 to 4. Four clips of each class in fold 5 are then written as files with several
sample rates, lengths and numbers of channels. These files are classified by `learn.predict`, the classifier, the saved
classifier, the exported program, onnxruntime in float32 and int8, and `fastaudio-norm predict`. The programs and the
expected probabilities are saved in DIR for bench/torch_only.py.

matrix: a small training of every network, for every target, on mono and stereo clips, and the differences of every file
format from the learner, or the reason why it is refused.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import soundfile
import torch
from serving_matrix import FORMS, NETWORKS, by_command, print_matrix, write
from timing import median_ms, where
from tqdm import tqdm

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import cached_clips
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.serve import SoundClassifier, as_pipeline
from fastaudio_norm.serve.int8 import quantize_network
from fastaudio_norm.train import Recipe, make_tfms, train_run

TEST_FOLD, CLIPS_PER_CLASS = 5, 4


def trained(path, epochs, norm):
    df = read_esc50(path)
    item_tfms, batch_tfms = make_tfms(norm, Recipe())
    clips = cached_clips(df, path)
    dls = get_dls(df, path, fold=TEST_FOLD, item_tfms=item_tfms, batch_tfms=batch_tfms, clips=clips, num_workers=0)
    bar = tqdm(total=epochs, desc="Training", unit="epoch")
    learn = train_run(dls, Recipe(epochs=epochs), each_epoch=lambda learn: bar.update())
    bar.close()
    return df, learn


def wave(file):
    return torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0].T.copy())[None]


def agreement(learn, files, out):
    "Print the largest difference from the probabilities of `learn.predict`, by form of the file and of the model."
    classifier, model, rows, exported = as_pipeline(learn), out / "model.safetensors", [], set()
    classifier.save(model)
    loaded = SoundClassifier.load(model)
    for form, (rate, *_) in FORMS.items():
        written = [write(file, out / f"{i}.wav", form) for i, file in enumerate(files)]
        waves = [wave(file) for file in written]
        with learn.no_bar():
            expected = np.stack([learn.predict(file)[2].numpy() for file in tqdm(written, desc=form, leave=False)])
        program, onnx, int8 = (out / f"{rate}{end}" for end in (".pt2", ".onnx", "-int8.onnx"))
        if rate not in exported:
            torch.export.save(classifier.program(rate), program)
            classifier.to_onnx(onnx, rate)
            quantize_network(onnx, int8)
            exported.add(rate)
        graph, sessions = torch.export.load(program).module(), [onnxruntime.InferenceSession(f) for f in (onnx, int8)]
        by_float32, by_int8 = ([s.run(None, {"waveform": x.numpy()})[0][0] for x in waves] for s in sessions)
        found = {
            "classifier": [classifier.at(rate)(x)[0].numpy() for x in waves],
            "saved classifier": [loaded.at(rate)(x)[0].numpy() for x in waves],
            "exported program": [graph(x)[0].detach().numpy() for x in waves],
            "onnxruntime": by_float32,
            "int8": by_int8,
            "command": by_command(model, written, classifier.classes),
        }
        rows.append({"": form} | {way: f"{np.abs(np.stack(p) - expected).max():.0e}" for way, p in found.items()})
        np.savez(out / f"{form}.npz", rate=rate, expected=expected, **{str(i): x for i, x in enumerate(waves)})
    print(f"\n{len(files)} clips; largest difference from the probabilities of learn.predict:")
    print(pd.DataFrame(rows).to_string(index=False))
    return classifier


def costs(learn, classifier, out, rounds):
    rate, file = 44100, out / "0.wav"
    x = wave(file)[..., : 5 * rate]
    soundfile.write(file, x[0].T.numpy(), rate, subtype="FLOAT")
    files = {name: out / f"{rate}{end}" for name, end in (("program", ".pt2"), ("32", ".onnx"), ("8", "-int8.onnx"))}
    graph, module = torch.export.load(files["program"]).module(), classifier.at(rate)
    float32, int8 = (onnxruntime.InferenceSession(files[name]) for name in ("32", "8"))
    ways = {
        "learn.predict": (learn.predict, None),
        "classifier": (lambda file: module(wave(file)), out / "model.safetensors"),
        "exported program": (lambda file: graph(wave(file)), files["program"]),
        "onnxruntime, float32": (lambda file: float32.run(None, {"waveform": wave(file).numpy()}), files["32"]),
        "onnxruntime, int8": (lambda file: int8.run(None, {"waveform": wave(file).numpy()}), files["8"]),
    }
    with torch.inference_mode(), learn.no_bar():
        ms = median_ms({name: (f, [file] * 4) for name, (f, _) in ways.items()}, rounds, "cpu")
    print(f"\n{where('cpu')}; a file of 5 s at 44.1 kHz, from disk to probabilities:")
    for name, time in ms.items():
        size = f", {ways[name][1].stat().st_size / 1e6:.1f} MB" if ways[name][1] else ""
        print(f"{name:20}{time:8.1f} ms, {ms['learn.predict'] / time:.1f} times the speed of learn.predict{size}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder in ESC-50's layout")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--norm", default="channel")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("serving"), help="output folder (default: serving)")
    parser.add_argument("--only", choices=("one", "matrix"), help="half of the benchmark (default: both)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="of the matrix")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.only != "matrix":
        df, learn = trained(args.path, args.epochs, args.norm)
        chosen = df[df.fold == TEST_FOLD].groupby("category").head(CLIPS_PER_CLASS).filename
        classifier = agreement(learn, [args.path / "audio" / name for name in chosen], args.out)
        costs(learn, classifier, args.out, args.rounds)
    if args.only != "one":
        print_matrix(read_esc50(args.path), args.path / "audio", args.networks)


if __name__ == "__main__":
    main()
