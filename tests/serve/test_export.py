"""Exported graphs give the classifier's probabilities, and need neither fastai nor this package."""

import copy
import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from torch import nn

from fastaudio_norm.audio import SAMPLE_RATE
from fastaudio_norm.layers import (
    ESTIMATES,
    AudioNorm,
    BandMatch,
    PCENLayer,
    RelaxedFreqNorm,
    ShortTimeNorm,
    SlidingNorm,
    SpecNorm,
)
from fastaudio_norm.serve import Decibels, Deltas, Filters, LoudestCrop, Pad, Resize, SoundClassifier, Spectrum
from fastaudio_norm.serve.export import SlicedPool, replace_submodules, sliced_pool


def test_a_program_runs_without_fastai_and_this_package(classifier, make_file, tmp_path):
    "The program runs where neither fastai nor fastaudio nor this package can be imported."
    samples, _ = soundfile.read(make_file(44100), dtype="float32")
    x = torch.from_numpy(samples)[None, None]
    expected = classifier.at(44100)(x)[0]
    torch.export.save(classifier.program(44100), tmp_path / "model.pt2")
    np.save(tmp_path / "wave.npy", x.numpy())
    code = f"""
import sys
for name in ("fastai", "fastaudio", "fastcore", "fastaudio_norm", "torchaudio"):
    sys.modules[name] = None  # so that importing it fails
import json, numpy, torch
program = torch.export.load({str(tmp_path / "model.pt2")!r}).module()
print(json.dumps(program(torch.from_numpy(numpy.load({str(tmp_path / "wave.npy")!r})))[0].tolist()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(7, 8), (16, 9), (21, 33), (2, 2)])
@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((2, 3), (1, 2)),
        nn.AvgPool2d(2), nn.AvgPool2d(3, 2), nn.AvgPool2d(2, ceil_mode=True),
    ],
)  # fmt: skip
def test_sliced_pool_equals_the_pool_of_torch(pool, shape):
    x = torch.randn(2, 3, *shape)
    if min(shape) >= 3:
        replaced = nn.Sequential(pool)
        replace_submodules(replaced, sliced_pool)
        assert isinstance(replaced[0], SlicedPool)
        torch.testing.assert_close(replaced(x), pool(x))


class Quietest(nn.Module):
    "The lower the level of a frequency bin, the more probable is its class."

    def forward(self, spec):
        return -spec.mean((1, 3))


def test_onnx_is_exact_in_quiet_bins(classifier, tmp_path):
    "A tone is 100 dB louder than the other bins, where a float32 Fourier transform would be wrong by 1 dB."
    layers = [layer for layer in classifier.front if isinstance(layer, (Spectrum, Filters, Decibels))]
    classifier = SoundClassifier(layers, Quietest(), range(64), SAMPLE_RATE)
    classifier.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    t = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    noise = torch.randn(10, 1, SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    x = 0.9 * torch.sin(2 * torch.pi * 440 * t) + 1e-6 * noise
    expected = copy.deepcopy(classifier).double()(x.double())
    found = session.run(None, {"waveform": x.numpy()})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


class Branches(nn.Module):
    "Apply each layer to the same input; return the mean and the first value of every row."

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        found = [layer(x) for layer in self.layers]
        return torch.cat([part.flatten(1) for out in found for part in (out.mean(-1), out[..., 0])], 1)


SPEC_NORMS = [
    *(SpecNorm((2, 3), method) for method in ESTIMATES), SpecNorm((3,)),
    SpecNorm.from_statistics(torch.zeros(1, 1, 33, 1), torch.ones(1, 1, 33, 1), (0, 1, 3)),
    SlidingNorm(20), SlidingNorm(20, center=False, min_window=5), Deltas(),
    RelaxedFreqNorm(), RelaxedFreqNorm(eps=1e-9), BandMatch(33),
]  # fmt: skip
EXPORTED = {
    "waveform": ([], [
        *(AudioNorm(16000, method, per_channel=each) for method in ("zscore", "rms", "peak") for each in (False, True)),
        ShortTimeNorm(400), nn.Sequential(Pad(4000), LoudestCrop(4000)),
        *(Resize(samples, mode) for samples in (3000, 20000) for mode in ("zeros", "zeros_after", "repeat")),
    ]),
    "power": ([Spectrum(n_fft=64)], [
        PCENLayer(None, 500, scale=2.0**31), PCENLayer(33, 500), PCENLayer(None, 500, eps=1e-12),
        BandMatch(33, power=True),
    ]),
    "decibels": ([Spectrum(n_fft=64), Decibels()], SPEC_NORMS),
}  # fmt: skip


@pytest.mark.parametrize("kind", EXPORTED)
def test_exported_layers_are_exact_for_clips_that_begin_with_silence(kind, tmp_path):
    "Optimizers of graphs drop the addition of tiny numbers, so that silence could become 0 / 0."
    front, layers = EXPORTED[kind]
    classifier = SoundClassifier(front, Branches(layers), [], SAMPLE_RATE, target="numbers").requires_grad_(False)
    classifier.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    program = classifier.program().module()
    for samples, silent in ((8000, 4000), (5001, 1), (8000, 8000), (2500, 1000)):
        x = 0.1 * torch.randn(3, 2, samples)
        x[..., :silent] = 0
        expected = classifier(x)
        assert expected.isfinite().all()
        for found in (program(x), torch.from_numpy(session.run(None, {"waveform": x.numpy()})[0])):
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
