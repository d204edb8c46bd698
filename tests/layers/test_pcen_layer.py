"""`pcen` against librosa, and training of `PCENLayer`."""

import librosa
import numpy as np
import pytest
import torch

from fastaudio_norm.layers import PCENLayer, pcen


def librosa_from_first_frame(x, sr, hop_length, time_constant=0.4, **options):
    "librosa's PCEN, with the filter state of an average that starts at the first frame."
    t2 = (time_constant * sr / hop_length) ** 2
    b = (np.sqrt(1 + 4 * t2) - 1) / (2 * t2)
    x = x.as_subclass(torch.Tensor).double().numpy()
    zi = (1 - b) * x[..., :1]
    return librosa.pcen(x, sr=sr, hop_length=hop_length, time_constant=time_constant, zi=zi, **options)


@pytest.mark.parametrize("frames", [1, 63, 64, 65, 300])
@pytest.mark.parametrize(
    "options",
    [{}, {"time_constant": 0.05}, {"gain": 0.6, "bias": 10.0}, {"power": 0.25}, {"eps": 1e-3, "power": 0.8}],
)
def test_pcen_equals_librosa(frames, options):
    x = torch.rand(2, 1, 5, frames) ** 6 * torch.tensor([1e-8, 1e-2, 1, 1e4, 1e9]).view(5, 1)
    expected = librosa.pcen(x.double().numpy(), sr=22050, hop_length=512, **options)
    found = pcen(x, 22050 / 512, initial=1.0, **options).numpy()
    assert np.abs(found / expected - 1).max() < 1e-4
    expected = librosa_from_first_frame(x, 22050, 512, **options)
    assert np.abs(pcen(x, 22050 / 512, **options).numpy() / expected - 1).max() < 1e-4


def test_parameters_of_pcen_can_be_trained():
    x = torch.rand(2, 1, 6, 130) + 0.1
    layer = PCENLayer(6, frame_rate=100)
    assert torch.allclose(layer(x), pcen(x, 100), rtol=1e-4)
    layer(x).square().mean().backward()
    assert len(list(layer.parameters())) == 3
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in layer.parameters())
    again = PCENLayer(6, frame_rate=100, gain=0.5)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), layer(x))
