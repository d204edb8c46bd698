"""The int8 export rounds the network only, and is refused if it differs too much."""

import json
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from support import ROOT
from torch import nn

from fastaudio_norm.cli.main import main
from fastaudio_norm.layers import SpecNorm
from fastaudio_norm.serve import Decibels, Downmix, Filters, SoundClassifier, Spectrum, load_model, predict
from fastaudio_norm.serve.int8 import compare_models

CLIPS = sorted((ROOT / "recorded" / "audio").iterdir())[:3]


def make_model(*network, **options):
    torch.manual_seed(0)
    layers = [Downmix(), Spectrum(n_fft=256), Filters.from_weights(torch.rand(129, 20)), Decibels(), SpecNorm((2, 3))]
    return SoundClassifier(layers, nn.Sequential(*network), ["a", "b", "c"], 16000, **options).requires_grad_(False)


def convolutions():
    block = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16)]
    return [*block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)]


@pytest.fixture(scope="module", params=[("label", 16000), ("labels", 44100), ("numbers", 16000)], ids=str)
def exported(request, tmp_path_factory):
    "A model, the file of its int8 export, the rate of its waveforms, and the largest difference that was found."
    target, rate = request.param
    model, path = make_model(*convolutions(), target=target), tmp_path_factory.mktemp("int8") / "int8.onnx"
    return model, path, rate, model.to_int8_onnx(path, CLIPS, rate, max_difference=0.2)


def test_only_the_network_is_rounded(exported):
    model, path, rate, _ = exported
    graph = onnx.load(path).graph
    types = Counter(node.op_type for node in graph.node)
    assert (types["ConvInteger"], types["MatMulInteger"], types["Gemm"]) == (2, 1, 0)
    assert (types["Conv"], types["MatMul"]) == (rate != 16000, 1)  # resampling, filter bank
    [bank] = (init for init in graph.initializer if init.name.endswith("bank.weights"))
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(bank), model.front[2].bank.weights)


def test_predict_gives_nearly_the_outputs_of_the_float_model(exported, capsys):
    model, path, rate, largest = exported
    loaded = load_model(path)
    assert loaded.about == {**model.about, "sample_rate": rate}
    differences = []
    for clip in CLIPS:
        main(["predict", str(path), str(clip), "--json"])
        [row] = json.loads(capsys.readouterr().out)
        found = row["values" if model.target == "numbers" else "probabilities"]
        [expected] = predict(model, clip)
        differences.append(max(abs(found[name] - p) for name, p in zip("abc", expected.probabilities)))
    assert max(differences) == pytest.approx(largest, abs=1e-4) and 0 < largest < 0.2


class Power(nn.Module):
    "Logits without a layer that int8 could store."

    def forward(self, x):
        return x.square().mean((1, 3))[:, :3]


def test_models_that_cannot_be_rounded_are_refused(tmp_path):
    path = tmp_path / "int8.onnx"
    with pytest.raises(ValueError, match="no layer for int8"):
        make_model(Power()).to_int8_onnx(path, CLIPS)
    with pytest.raises(ValueError, match="pass some validation clips"):
        make_model(*convolutions()).to_int8_onnx(path, [])
    with pytest.raises(ValueError, match="of 3 decisions, expected at most 1e-09: use `to_onnx`"):
        make_model(*convolutions()).to_int8_onnx(path, CLIPS, max_difference=1e-9)
    assert not path.exists()


def test_a_model_that_gives_nan_differs(tmp_path):
    model, broken = make_model(*convolutions()), make_model(*convolutions())
    broken.network[-1].bias[1] = torch.nan
    assert np.isnan(compare_models(broken, model, CLIPS)[0]) and compare_models(model, model, CLIPS) == (0, 0, 3)
