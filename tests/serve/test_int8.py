"""The int8 export rounds the network only, and is refused if it differs too much."""

import json
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from support import ROOT
from torch import nn

from fastaudio_norm.cli.main import main
from fastaudio_norm.layers import SpecNorm
from fastaudio_norm.serve import Decibels, Downmix, Filters, SoundClassifier, Spectrum, load_model, predict

CLIPS = sorted((ROOT / "recorded" / "audio").iterdir())[:3]


def make_model(*network, **options):
    torch.manual_seed(0)
    layers = [Downmix(), Spectrum(n_fft=256), Filters.from_weights(torch.rand(129, 20)), Decibels(), SpecNorm((2, 3))]
    return SoundClassifier(layers, nn.Sequential(*network), ["a", "b", "c"], 16000, **options).requires_grad_(False)


def convolutions():
    block = [nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16)]
    return [*block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)]


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("target", ["label", "labels", "numbers"])
def test_only_the_network_is_rounded(target, rate, tmp_path, capsys):
    model, path = make_model(*convolutions(), target=target), tmp_path / "int8.onnx"
    largest = model.to_int8_onnx(path, CLIPS, rate, max_difference=0.2)
    assert 0 < largest < 0.2 and f"{largest:.2g}; " in capsys.readouterr().out
    loaded = load_model(path)
    assert loaded.about == {**model.about, "sample_rate": rate}
    outputs = [next(predict(m, CLIPS[0])).probabilities for m in (loaded, model)]
    np.testing.assert_allclose(*outputs, atol=0.2)
    graph = onnx.load(path).graph
    types = Counter(node.op_type for node in graph.node)
    assert (types["ConvInteger"], types["MatMulInteger"], types["Gemm"]) == (2, 1, 0)
    assert (types["Conv"], types["MatMul"]) == (rate != 16000, 1)  # resampling, filter bank
    [bank] = (init for init in graph.initializer if init.name.endswith("bank.weights"))
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(bank), model.front[2].bank.weights)


def test_predict_runs_the_file(tmp_path, capsys):
    path = tmp_path / "int8.onnx"
    make_model(*convolutions()).to_int8_onnx(path, CLIPS)
    capsys.readouterr()
    main(["predict", str(path), str(CLIPS[0]), "--json"])
    [row] = json.loads(capsys.readouterr().out)
    samples, _ = soundfile.read(CLIPS[0], dtype="float32")
    [expected] = onnxruntime.InferenceSession(path).run(None, {"waveform": samples[None, None]})[0]
    np.testing.assert_allclose([row["probabilities"][name] for name in "abc"], expected, atol=1e-5)


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
    broken = make_model(*convolutions())
    broken.network[-1].bias[1] = torch.nan
    with pytest.raises(ValueError, match="changes a probability by nan"):
        broken.to_int8_onnx(path, CLIPS)
    assert not path.exists()
