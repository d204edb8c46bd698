"""Saving a model to a full disk."""

import errno
import os

import pytest
import torch
from torch import nn

from fastaudio_norm.serve import Downmix, SoundClassifier, Spectrum
from fastaudio_norm.train import find_arch, make_xresnet_grayscale


class Means(nn.Module):
    "A network of many unused parameters."

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(10_000))

    def forward(self, x):  # [batch, channel, frequency, time]
        return x.mean((1, 3))[:, :2] * self.weights[:2] + self.weights.sum()


WRITERS = {".safetensors": SoundClassifier.save, ".pt2": SoundClassifier.save_program}


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_write_that_the_system_stops_is_reported_and_leaves_the_model_unchanged(suffix, tmp_path):
    resource = pytest.importorskip("resource")
    torch.manual_seed(0)
    classifier = SoundClassifier([Downmix(), Spectrum(n_fft=64)], Means(), ["cat", "dog"], 16000)
    file, save = tmp_path / f"model{suffix}", WRITERS[suffix]
    save(classifier, file)
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"{os.strerror(errno.EFBIG)}.*model{suffix}"):
            save(classifier, file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_model_keeps_its_permissions(mode, tmp_path):
    network = make_xresnet_grayscale(find_arch("xresnet18")(n_out=2))
    classifier, file = SoundClassifier([], network, ["cat", "dog"], 16000, "xresnet18"), tmp_path / "model.safetensors"
    file.touch()
    file.chmod(mode)
    classifier.save(file)
    assert file.stat().st_mode & 0o777 == mode
