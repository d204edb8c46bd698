"""Learners with front ends of pretrained networks become models that give the same predictions."""

import math

import numpy as np
import onnxruntime
import pytest
import torch
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from torch import nn

from fastaudio_norm import transforms
from fastaudio_norm.audio import make_spec, spec_rate
from fastaudio_norm.data import get_dls
from fastaudio_norm.layers import FRONT_ENDS
from fastaudio_norm.measure import measure
from fastaudio_norm.serve import SoundClassifier, as_pipeline, predict


class Power(nn.Module):
    "Mean square of each channel."

    def forward(self, x):
        return x.square().mean((-2, -1))


def small(n_out=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d((8, 4)), nn.Flatten(), nn.Linear(32, n_out))


@pytest.fixture
def learner(df, made_up):
    def make(name, network=None):
        stats = getattr(transforms, f"{name}_stats", None)
        tfms = [make_spec(name), *([transforms.SpecNormalize.from_stats(stats)] if stats else [])]
        dls = get_dls(df, made_up, bs=10, sample_rate=spec_rate(name), batch_tfms=tfms, num_workers=0)
        return Learner(dls, network or small(), CrossEntropyLossFlat())

    return make


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_models_and_their_files_equal_the_learner(name, learner, make_file, tmp_path):
    learn = learner(name)
    classifier = as_pipeline(learn)
    assert classifier.sample_rate == spec_rate(name)
    classifier.save(tmp_path / "model.safetensors")
    loaded = SoundClassifier.load(tmp_path / "model.safetensors", small)
    predictions = []
    for rate, seconds, channels in ((spec_rate(name), 1.0, 1), (22050, 0.4, 2)):
        file = make_file(rate, seconds, channels, f"{rate}.wav")
        with learn.no_bar():
            expected = learn.predict(file)[2].numpy()
        for model in (classifier, loaded):
            np.testing.assert_allclose(next(predict(model, file)).probabilities, expected, atol=1e-4)
        predictions.append(expected)
    assert np.ptp(predictions, 0).max() > 1e-3, "the network must not ignore its input"


def test_exported_graphs_equal_the_model(learner, tmp_path):
    any_length = nn.Sequential(nn.Conv2d(1, 8, 3), Power(), nn.Linear(8, 10))
    classifier = as_pipeline(learner("passt", network=any_length))
    classifier.to_onnx(tmp_path / "model.onnx")
    session, program = onnxruntime.InferenceSession(tmp_path / "model.onnx"), classifier.program().module()
    for shape in ((1, 1, 9000), (3, 2, 20000)):
        x = 0.1 * torch.randn(shape)
        expected = classifier(x).detach().numpy()
        np.testing.assert_allclose(session.run(None, {"waveform": x.numpy()})[0], expected, atol=1e-5)
        np.testing.assert_allclose(program(x).detach().numpy(), expected, atol=1e-5)


def test_statistics_of_another_spectrogram_cannot_replace_those_of_a_model(learner, made_up):
    classifier = as_pipeline(learner("beats"))
    stats = {spec: measure(made_up, folds=[1], spec=spec) for spec in ("ast", "beats")}
    with pytest.raises(ValueError, match="front_end='ast' instead of 'beats'"):
        classifier.renormalize(stats["ast"])
    classifier.renormalize(stats["beats"])
    total, silence = stats["beats"].reduced((0, 1, 2, 3)), math.log(2**-23)
    found = classifier.front(torch.zeros(1, 1, 9000))
    assert found.mean().item() == pytest.approx((silence - total.mean.item()) / total.std.item())


def test_files_that_ask_for_too_much_memory_are_refused(learner, tmp_path):
    classifier = as_pipeline(learner("ast"))
    classifier.front[1].options["frames"] = 2**23
    with pytest.raises(ValueError, match="the layers compute .* values"):
        classifier.save(tmp_path / "model.safetensors")
        SoundClassifier.load(tmp_path / "model.safetensors", small)
