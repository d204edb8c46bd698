"""Compare the probabilities and the speed of a model in all its exported forms.

    uv run --group dev bench/serving.py FOLDER [--epochs 10] [--out DIR]

FOLDER has ESC-50's layout. A network is trained on folds 1 to 4. Four clips of each class in fold 5 are then written as
files with several sample rates, lengths and numbers of channels. These files are classified by `learn.predict`, the
classifier, the saved classifier, the exported program, onnxruntime and `fastaudio-norm predict`. The programs and the
expected probabilities are saved in DIR for bench/torch_only.py.
"""

import argparse
import contextlib
import io
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import scipy.signal
import soundfile
import torch
from timing import median_ms, where
from tqdm import tqdm

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import cached_clips
from fastaudio_norm.cli.main import main as command
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.serve import SoundClassifier, as_pipeline
from fastaudio_norm.train import Recipe, make_tfms, train_run

TEST_FOLD, CLIPS_PER_CLASS = 5, 4
FORMS = {  # sample rate in Hz, seconds, channels
    "8 kHz": (8000, 5, 1),
    "16 kHz": (16000, 5, 1),
    "22.05 kHz": (22050, 5, 1),
    "44.1 kHz": (44100, 5, 1),
    "48 kHz": (48000, 5, 1),
    "44.1 kHz, stereo": (44100, 5, 2),
    "44.1 kHz, 0.5 s": (44100, 0.5, 1),
    "44.1 kHz, 60 s": (44100, 60, 1),
}


def trained(path, epochs, norm):
    df = read_esc50(path)
    item_tfms, batch_tfms = make_tfms(norm, Recipe())
    clips = cached_clips(df, path)
    dls = get_dls(df, path, fold=TEST_FOLD, item_tfms=item_tfms, batch_tfms=batch_tfms, clips=clips, num_workers=0)
    bar = tqdm(total=epochs, desc="Training", unit="epoch")
    learn = train_run(dls, Recipe(epochs=epochs), each_epoch=lambda learn: bar.update())
    bar.close()
    return df, learn


def write(file, out, form):
    "Write a clip in one of `FORMS`. The second channel is delayed and attenuated."
    rate, seconds, channels = FORMS[form]
    samples, old = soundfile.read(file)
    samples = scipy.signal.resample_poly(samples, rate, old) if rate != old else samples
    samples = np.resize(samples, round(seconds * rate))
    sound = np.stack([samples, 0.5 * np.roll(samples, rate // 100)][:channels], 1)
    soundfile.write(out, sound, rate, subtype="FLOAT")
    return out


def wave(file):
    return torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0].T.copy())[None]


def by_command(model, files, classes):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        command(["predict", str(model), *map(str, files), "--json"])
    return np.array([[row["probabilities"][name] for name in classes] for row in json.loads(printed.getvalue())])


def agreement(learn, files, out):
    "Print the largest difference from the probabilities of `learn.predict`, by form of the file and of the model."
    classifier, model, rows = as_pipeline(learn), out / "model.safetensors", []
    classifier.save(model)
    loaded = SoundClassifier.load(model)
    for form, (rate, *_) in FORMS.items():
        written = [write(file, out / f"{i}.wav", form) for i, file in enumerate(files)]
        waves = [wave(file) for file in written]
        with learn.no_bar():
            expected = np.stack([learn.predict(file)[2].numpy() for file in tqdm(written, desc=form, leave=False)])
        program, onnx = out / f"{rate}.pt2", out / f"{rate}.onnx"
        if not program.exists():
            torch.export.save(classifier.program(rate), program)
            classifier.to_onnx(onnx, rate)
        graph, session = torch.export.load(program).module(), onnxruntime.InferenceSession(onnx)
        found = {
            "classifier": [classifier.at(rate)(x)[0].numpy() for x in waves],
            "saved classifier": [loaded.at(rate)(x)[0].numpy() for x in waves],
            "exported program": [graph(x)[0].detach().numpy() for x in waves],
            "onnxruntime": [session.run(None, {"waveform": x.numpy()})[0][0] for x in waves],
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
    graph, session = torch.export.load(out / f"{rate}.pt2").module(), onnxruntime.InferenceSession(out / f"{rate}.onnx")
    module = classifier.at(rate)
    ways = {
        "learn.predict": learn.predict,
        "classifier": lambda file: module(wave(file)),
        "exported program": lambda file: graph(wave(file)),
        "onnxruntime": lambda file: session.run(None, {"waveform": wave(file).numpy()}),
    }
    with torch.inference_mode(), learn.no_bar():
        ms = median_ms({name: (f, [file] * 4) for name, f in ways.items()}, rounds, "cpu")
    print(f"\n{where('cpu')}; a file of 5 s at 44.1 kHz, from disk to probabilities:")
    for name, time in ms.items():
        print(f"{name:20}{time:8.1f} ms, {ms['learn.predict'] / time:.1f} times the speed of learn.predict")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, help="folder in ESC-50's layout")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--norm", default="channel")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("serving"), help="output folder (default: serving)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    df, learn = trained(args.path, args.epochs, args.norm)
    chosen = df[df.fold == TEST_FOLD].groupby("category").head(CLIPS_PER_CLASS).filename
    classifier = agreement(learn, [args.path / "audio" / name for name in chosen], args.out)
    costs(learn, classifier, args.out, args.rounds)


if __name__ == "__main__":
    main()
