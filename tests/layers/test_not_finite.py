"""Clips with NaN or infinity: the same result with and without gradient, and other clips are not affected."""

import pytest
import torch

from fastaudio_norm.layers import ESTIMATES, AudioNorm, PCENLayer, RelaxedFreqNorm, ShortTimeNorm, SlidingNorm, SpecNorm

OF_SPECTROGRAMS = [
    *(SpecNorm(axes, method) for axes in ((2, 3), (3,), (1, 2, 3)) for method in ESTIMATES),
    SlidingNorm(20), SlidingNorm(20, center=False, min_window=10), RelaxedFreqNorm(), PCENLayer(None, 50.0),
]  # fmt: skip
OF_WAVEFORMS = [*(AudioNorm(16000, method) for method in ("zscore", "rms", "peak")), ShortTimeNorm(50)]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("layer", OF_SPECTROGRAMS + OF_WAVEFORMS, ids=repr)
def test_values_that_are_not_finite_have_the_same_effect_with_and_without_gradient(layer, value):
    x = torch.rand(3, 2, 400) if layer in OF_WAVEFORMS else torch.rand(3, 2, 4, 100)
    clean = layer(x)
    x[1, 0, ..., 3] = value
    without = layer(x)
    found = layer(x.clone().requires_grad_())
    assert torch.equal(without.isfinite(), found.isfinite())
    torch.testing.assert_close(found.detach()[found.isfinite()], without[found.isfinite()], rtol=1e-4, atol=1e-4)
    assert torch.equal(without[[0, 2]], clean[[0, 2]]) and not without[1].isfinite().all()
