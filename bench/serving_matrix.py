"""The matrix of `serving.py`: target × input × network × file format, and audio files of several forms."""

import contextlib
import io
import json
import re
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal
import soundfile
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock
from fastai.learner import Learner
from fastai.vision.learner import vision_learner
from torch import nn
from torchvision.models import resnet18
from tqdm import tqdm

from fastaudio_norm.all import AudioBlock
from fastaudio_norm.audio import SPECS
from fastaudio_norm.cli.main import main as command
from fastaudio_norm.serve import SoundClassifier, as_pipeline, load_model, predict
from fastaudio_norm.serve.int8 import quantize_network
from fastaudio_norm.train import spec_learner
from fastaudio_norm.transforms import AudioNormalize, SpecNormalize

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
FORMATS = ("module", "saved", ".pt2", ".onnx", "int8 .onnx", "predict")
SAMPLE_RATE, N_CLASSES = 16000, 8


def write(file, out, form, channels=None):
    "Write a clip in one of `FORMS`. The second channel is delayed and attenuated."
    rate, seconds, normal = FORMS[form]
    samples, old = soundfile.read(file)
    samples = scipy.signal.resample_poly(samples, rate, old) if rate != old else samples
    samples = np.resize(samples, round(seconds * rate))
    sound = np.stack([samples, 0.5 * np.roll(samples, rate // 100)][: channels or normal], 1)
    soundfile.write(out, sound, rate, subtype="FLOAT")
    return out


def by_command(model, files, classes):
    "Outputs of `fastaudio-norm predict` [files, classes]. Raises `ValueError` with its message."
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            command(["predict", str(model), *map(str, files), "--json"])
        except SystemExit as e:
            raise ValueError(errors.getvalue().strip().removeprefix("fastaudio-norm: ")) from e
    rows = json.loads(printed.getvalue())
    return np.array([[row.get("probabilities", row.get("values"))[name] for name in classes] for row in rows])


class OwnNetwork(nn.Module):
    "Random filters, and the mean square of each."

    def __init__(self, n_out, n_in):
        super().__init__()
        self.filters, self.out = nn.Conv2d(n_in, 6, 3), nn.Linear(6, n_out)

    def forward(self, x):
        return self.out(self.filters(x).square().mean((-2, -1)).log1p())


NETWORKS = {
    "xresnet18": lambda dls, n_in: spec_learner(dls, "xresnet18", metrics=None),
    "torchvision": lambda dls, n_in: vision_learner(dls, resnet18, n_in=n_in, pretrained=False),
    "timm": lambda dls, n_in: vision_learner(dls, "test_resnet", n_in=n_in, pretrained=False),
    "own": lambda dls, n_in: Learner(dls, OwnNetwork(dls.c, n_in)),
}


def _level_and_peak(file):
    "Two numbers to learn, in units of 10 dB."
    samples, _ = soundfile.read(file)
    return [2 * np.log10(1e-6 + x) for x in (samples.std(), abs(samples).max())]


TARGETS = {  # names of the files begin with the category
    "label": (CategoryBlock, lambda file: file.stem.split("-")[0]),
    "labels": (MultiCategoryBlock, lambda file: file.stem.split("-")[0].split("_")),
    "numbers": (RegressionBlock(n_out=2), _level_and_peak),
}


def trained(files, target, channels, network):
    block, label = TARGETS[target]
    n = len(files)
    blocks = DataBlock(
        (AudioBlock(sample_rate=SAMPLE_RATE, force_mono=channels == 1), block),
        get_y=label,
        splitter=lambda items: (range(0, n, 2), range(1, n, 2)),
        item_tfms=[AudioNormalize()],
        batch_tfms=[SPECS["mel"](), SpecNormalize(axes=(0, 1, 3))],
    )
    learn = NETWORKS[network](blocks.dataloaders(files, bs=4, num_workers=0), channels)
    with learn.no_bar(), learn.no_logging():
        learn.fit(2, 1e-3)
    return learn


def by_learner(learn, files):
    with learn.no_bar():
        dls = (learn.dls.test_dl([file], bs=1, num_workers=0) for file in files)
        return np.stack([learn.get_preds(dl=dl)[0][0].numpy() for dl in dls])


def by_model(model, files):
    return np.stack([next(predict(model, file)).probabilities for file in files])


def formats(learn, channels, network, folder):
    "Functions that classify files by a format of the model, by the format's name."
    classifier = as_pipeline(learn)
    saved, program, onnx, int8 = (folder / f"model.{end}" for end in ("safetensors", "pt2", "onnx", "int8.onnx"))
    classifier.save(saved)
    classifier.save_program(program)
    classifier.to_onnx(onnx)
    quantize_network(onnx, int8)
    own = {"network": lambda n_out: OwnNetwork(n_out, channels)} if network == "own" else {}
    models = (classifier, SoundClassifier.load(saved, **own), *map(load_model, (program, onnx, int8)))
    ways = {name: (lambda files, model=model: by_model(model, files)) for name, model in zip(FORMATS, models)}
    return ways | {"predict": lambda files: by_command(saved, files, classifier.classes)}


def print_matrix(df, audio, networks):
    "Train each network for each target on mono and stereo clips, and print how its file formats agree with it."
    rows, reasons = [], []
    df = df[df.category.isin(sorted(set(df.category))[:N_CLASSES])].sort_values("category", kind="stable")
    rank = df.groupby("category").cumcount()
    known, unseen = df[rank < 2], audio / df.filename[rank == 2]

    def cell(classify, files, expected):
        try:
            difference = np.abs(classify(files) - expected).max()
            return f"{'equal to' if difference <= 1e-4 else 'differs by'} {difference:.0e}"
        except ValueError as e:
            reason = re.sub(r"\S*/(?=[^/\s])", "", str(e))  # without folders
            reasons.extend([reason] * (reason not in reasons))
            return f"refused ({reasons.index(reason) + 1})"

    every = list(product(TARGETS, (1, 2), networks))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for target, channels, network in tqdm(every, desc="Matrix", unit="model"):
            clips = [
                write(audio / clip.filename, folder / f"{clip.category}-{i}.wav", "16 kHz", channels)
                for i, clip in enumerate(known.itertuples())
            ]
            learn = trained(clips, target, channels, network)
            tests = [
                write(unseen.iloc[i % len(unseen)], folder / f"test-{i}.wav", form, 2 if channels == 2 else None)
                for i, form in enumerate(FORMS)
            ]
            expected = by_learner(learn, tests)
            ways = formats(learn, channels, network, folder)
            row = {"target": target, "input": ["mono", "stereo"][channels - 1], "network": network}
            row |= {way: cell(classify, tests, expected) for way, classify in ways.items()}
            if channels == 2:
                row["mono file"] = cell(
                    ways["saved"], [write(unseen.iloc[0], folder / "mono.wav", "16 kHz")], expected[:1]
                )
            rows.append(row | {"outputs differ by": f"{np.ptp(expected, 0).max():.1g}"})
    print(f"\n{len(FORMS)} files ({'; '.join(FORMS)}); largest difference of an output from the learner's.")
    print('"outputs differ by": largest difference of an output between two of the files')
    print(pd.DataFrame(rows).fillna("").to_string(index=False))
    for i, reason in enumerate(reasons):
        print(f"({i + 1}) {reason}")
