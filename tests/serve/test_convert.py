"""A converted learner gives the learner's probabilities, in every form and for every file."""

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from fastai.layers import AdaptiveConcatPool2d
from fastai.learner import load_learner
from fastaudio.augment.signal import ChangeVolumeGPU
from torch import nn

from fastaudio_norm.audio import SAMPLE_RATE, cached_clips
from fastaudio_norm.data import get_dls
from fastaudio_norm.serve import SoundClassifier, as_pipeline, predict
from fastaudio_norm.train import RECIPES, Recipe, make_tfms, spec_learner

STRONG = RECIPES["strong"]._replace(epochs=1, crop=0.4)
FILES = [  # sample rate in Hz, seconds, channels
    (SAMPLE_RATE, 1.0, 1),
    (8000, 2.0, 1),
    (22050, 0.5, 2),
    (44100, 3.1, 1),
    (44100, 0.5, 2),
    (44100, 20.0, 1),
    (48000, 1.0, 3),
]


def predicted_by_fastai(learn, file):
    with learn.no_bar():
        return learn.predict(file)[2].numpy()


def waveform(file):
    return torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0].T.copy())[None]


def small(n_out):
    "A network that is quick to train and to export, with the pooling of fastai's heads."
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), AdaptiveConcatPool2d(), nn.Flatten(), nn.Linear(16, n_out))


@pytest.mark.parametrize(
    "norm, recipe, arch",
    [
        ("wave+channel", Recipe(epochs=1), small),
        ("pcen", STRONG, "xresnet18"),
        ("rms+local-channel-robust", Recipe(spec="linear", epochs=1), small),
        ("short-time+sliding", Recipe(spec="gammatone", deltas=True, epochs=1), small),
    ],
)
def test_every_form_of_a_model_gives_the_same_probabilities(norm, recipe, arch, train, make_file, tmp_path):
    "fastai, the classifier, its saved file, its program and onnxruntime, for any rate, length and number of channels."
    learn = train(norm, recipe, arch)
    classifier = as_pipeline(learn)
    classifier.save(tmp_path / "model.safetensors")
    loaded = SoundClassifier.load(tmp_path / "model.safetensors", small if arch is small else None)
    classifier.to_onnx(tmp_path / "model.onnx", 44100)
    graph, session = classifier.program(44100).module(), onnxruntime.InferenceSession(tmp_path / "model.onnx")
    every = []
    for rate, seconds, channels in FILES:
        # The upper half of the spectrum of 8 kHz files is rounding errors, which robust statistics magnify.
        atol = 2e-3 if "robust" in norm and rate < SAMPLE_RATE else 1e-4
        file = make_file(rate, seconds, channels)
        expected, x = predicted_by_fastai(learn, file), waveform(file)
        [whole] = predict(loaded, file)
        found = {"classifier": classifier.at(rate)(x)[0].numpy(), "saved": whole.probabilities}
        if rate == 44100:
            found |= {"program": graph(x)[0].detach().numpy(), "onnx": session.run(None, {"waveform": x.numpy()})[0][0]}
        for name, probabilities in found.items():
            np.testing.assert_allclose(probabilities, expected, atol=atol, err_msg=f"{name}, {rate} Hz, {seconds} s")
        assert np.isclose(expected.sum(), 1, atol=1e-5)
        every.append(expected)
    assert np.ptp(every, 0).max() > 0.001, "the network must not ignore its input"


def test_a_loaded_learner_predicts_without_its_cache(df, made_up, make_file, tmp_path):
    clips = cached_clips(df, made_up, folder=tmp_path / "cache")
    _, batch_tfms = make_tfms("channel")
    dls = get_dls(df, made_up, bs=10, batch_tfms=batch_tfms, clips=clips, num_workers=0)
    learn, file = spec_learner(dls), make_file(44100)
    expected = predicted_by_fastai(learn, file)
    learn.export(tmp_path / "learn.pkl")
    clips.path.unlink()
    loaded = load_learner(tmp_path / "learn.pkl")
    np.testing.assert_allclose(predicted_by_fastai(loaded, file), expected, atol=1e-6)
    with pytest.warns(UserWarning, match="no validation clips"):
        classifier = as_pipeline(loaded)
    np.testing.assert_allclose(next(predict(classifier, file)).probabilities, expected, atol=1e-4)


def test_a_transform_without_a_layer_is_refused(df, made_up):
    items, batches = make_tfms("channel")
    learn = spec_learner(get_dls(df, made_up, 1, 10, items, [ChangeVolumeGPU(), *batches], num_workers=0))
    with pytest.raises(ValueError, match="cannot convert ChangeVolumeGPU"):
        as_pipeline(learn)
