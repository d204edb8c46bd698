"""Trained learners, classifiers and audio files for the tests of `fastaudio_norm.serve`."""

import numpy as np
import pytest
import soundfile
from support import SMALL_ARCH

from fastaudio_norm.audio import SAMPLE_RATE, cached_clips
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.serve import as_pipeline
from fastaudio_norm.train import Recipe, make_tfms, train_run


@pytest.fixture(scope="session")
def train(made_up):
    "Function that trains a network on synthetic clips."

    def train(norm="wave+channel", recipe=Recipe(epochs=1), arch=SMALL_ARCH):  # noqa: B008
        df = read_esc50(made_up)
        clips = cached_clips(df, made_up)
        item_tfms, batch_tfms = make_tfms(norm, recipe)
        tfms = {"item_tfms": item_tfms, "batch_tfms": batch_tfms}
        dls = get_dls(df, made_up, bs=10, **tfms, clips=clips, num_workers=0)
        return train_run(dls, recipe, arch)

    return train


@pytest.fixture(scope="session")
def learn(train):
    return train()


@pytest.fixture
def classifier(learn):
    return as_pipeline(learn)


@pytest.fixture
def make_file(tmp_path):
    "Function that writes a clip of noise and a tone, in float, so that no sample is rounded."

    def make(rate=SAMPLE_RATE, seconds=1.0, channels=1, name="clip.wav"):
        rng = np.random.default_rng(rate + channels)
        t = np.arange(round(rate * seconds)) / rate
        clip = 0.1 * rng.standard_normal((len(t), channels)) + 0.3 * np.sin(2 * np.pi * 700 * t)[:, None]
        soundfile.write(tmp_path / name, clip, rate, subtype="FLOAT")
        return tmp_path / name

    return make
