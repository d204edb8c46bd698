"""Networks for spectrograms."""

import pytest
import torch
from fastai.vision.models.xresnet import xresnet18
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import resnet18

from fastaudio_norm.train.models import WindowAverage, find_arch, make_xresnet_grayscale


@pytest.mark.parametrize("arch", [xresnet18, resnet18])
@pytest.mark.parametrize("n_in", [1, 2, 4])
def test_weights_of_the_first_convolution_are_averaged_in_place(arch, n_in):
    model = arch()
    conv = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    average = conv.weight.detach().mean(1, keepdim=True)
    assert make_xresnet_grayscale(model, n_in) is model
    assert conv.weight.requires_grad and torch.equal(conv.weight, average.repeat(1, n_in, 1, 1))
    assert model.eval()(torch.randn(2, n_in, 64, 64)).shape == (2, 1000)
    weight = conv.weight
    assert make_xresnet_grayscale(model, n_in) is model and conv.weight is weight


def test_networks_without_a_suitable_first_convolution_are_refused():
    with pytest.raises(ValueError, match="Linear must contain an nn.Conv2d"):
        make_xresnet_grayscale(nn.Linear(3, 4))
    with pytest.raises(ValueError, match="must be ungrouped, got 3 groups"):
        make_xresnet_grayscale(nn.Sequential(nn.Conv2d(3, 3, 3, groups=3)))


def test_unknown_names_of_networks_are_refused():
    with pytest.raises(ValueError, match="Unknown network 'resnet19'"):
        find_arch("resnet19")


@settings(max_examples=30, deadline=None)
@given(frames=st.integers(1, 40), window=st.integers(1, 20))
def test_windows_cover_the_clip_and_their_probabilities_are_averaged(frames, window):
    seen = []

    class Model(nn.Module):
        def forward(self, x):
            seen.append(x)
            return torch.stack([x.mean((1, 2, 3)), -x.amax((1, 2, 3))], 1)

    x = torch.arange(2.0 * frames).view(2, 1, 1, frames)
    model = WindowAverage(Model(), window)
    torch.testing.assert_close(model.train()(x), Model()(x))
    seen.clear()
    out = model.eval()(x)
    [windows] = seen
    windows = windows.unflatten(0, (-1, 2))
    assert windows.shape[-1] == min(frames, window) and set(windows.flatten().tolist()) == set(x.flatten().tolist())
    starts = windows[:, 0, 0, 0, 0]
    assert (starts.diff() <= max(1, window / 2 + 1)).all()
    expected = torch.stack([Model()(w).softmax(1) for w in windows]).mean(0)
    torch.testing.assert_close(out.softmax(1), expected)
