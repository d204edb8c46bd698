"""`SlidingNormalize` on clips without variance, short clips and clips with a loud stretch."""

import pytest
import torch
from fastai.torch_core import TensorImageBase

from fastaudio_norm.transforms import SlidingNormalize, SpecNormalize


def test_a_window_longer_than_the_clip_covers_the_whole_clip():
    x = TensorImageBase(torch.randn(4, 2, 6, 50) * 20 - 60)
    assert torch.allclose(SlidingNormalize(300)(x), SpecNormalize(axes=(3,))(x), atol=1e-5)


@pytest.mark.parametrize("center", [True, False])
def test_windows_without_variance_become_zeros(center):
    x = torch.randn(2, 1, 4, 60)
    x[:, :, 1] = -100.0
    x[:, :, 2] = 1 / 3
    x[0] = 7.0
    for given_x in (x, x.half(), x.clone().requires_grad_()):
        out = SlidingNormalize(10, center, min_window=5)(TensorImageBase(given_x))
        assert out.isfinite().all() and out[0].abs().max() < 1e-3 and out[:, :, [1, 2]].abs().max() < 1e-3
        assert out.dtype == given_x.dtype


def test_rounding_errors_do_not_count_as_variance():
    "Values that differ in the last bit of float32 count as constant, like in SpecNormalize."
    x = torch.full((1, 1, 1, 200), -100.0)
    x[..., ::3] = torch.nextafter(torch.tensor(-100.0), torch.tensor(0.0))
    for given_x in (x, x.clone().requires_grad_()):
        assert SlidingNormalize(50)(TensorImageBase(given_x)).abs().max() < 1e-4
    assert SpecNormalize(axes=(3,))(TensorImageBase(x)).abs().max() < 1e-4


def test_a_loud_stretch_has_no_effect_outside_its_windows():
    x = torch.randn(1, 1, 1, 400)
    bumped = x.clone()
    bumped[..., 100:110] += 1e4
    norm = SlidingNormalize(50)
    after = slice(160, 400)
    found, expected = (norm(TensorImageBase(y))[..., after].as_subclass(torch.Tensor) for y in (bumped, x))
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("arguments", [{"window": 0}, {"min_window": 0}])
def test_windows_of_zero_frames_are_refused(arguments):
    with pytest.raises(ValueError, match="must be at least 1 frame, got "):
        SlidingNormalize(**arguments)
