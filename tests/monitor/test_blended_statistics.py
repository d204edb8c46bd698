"""Blending the statistics of two recorders."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.stats import StatsRecorder


def recorded(x, **options):
    recorder = StatsRecorder((0, 1, 3), quantiles=True, clips=True, correction=0, **options)
    recorder.update(x)
    return recorder


def random_spectrograms(n, seed, level=0.0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 20, 30, generator=rng) * torch.linspace(1, 9, 20)[:, None] - 40 + level


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 99), st.floats(-60, 60))
def test_a_blend_by_share_of_values_equals_a_merge(n, m, seed, level):
    old, new = recorded(random_spectrograms(n, seed)), recorded(random_spectrograms(m, seed + 1, level))
    blend, merged = old.blended(new, m / (n + m)), old + new
    np.testing.assert_allclose(blend.mean, merged.mean, rtol=1e-9)
    np.testing.assert_allclose(blend.std, merged.std, rtol=1e-9)
    both = [each.counts.cumsum(1) for each in blend.histogram.together(merged.histogram)]
    shares = [upto / upto[:, -1:] for upto in both]
    np.testing.assert_allclose(*shares, atol=1 / old.nobservations)  # counts are whole numbers
    np.testing.assert_allclose(blend.clips.features.mean, merged.clips.features.mean, rtol=1e-9)
    covariances = (each.clips.features.m2 / each.clips.features.n for each in (blend, merged))
    np.testing.assert_allclose(*covariances, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.floats(0.01, 1.0))
def test_a_blend_keeps_the_number_of_values_and_is_finite(seed, weight):
    old = recorded(random_spectrograms(7, seed))
    blend = old.blended(recorded(random_spectrograms(4, seed + 1, 20.0)), weight)
    assert blend.nobservations == old.nobservations and blend.clips.bins.n == 7
    assert (blend.histogram.counts.sum(1) == old.nobservations).all() and (blend.histogram.counts >= 0).all()
    assert (old.mean < blend.mean).all() and blend.std.isfinite().all()


def test_a_weight_of_one_replaces_everything():
    old, new = recorded(random_spectrograms(7, 0)), recorded(random_spectrograms(4, 1, 20.0))
    blend = old.blended(new, 1)
    np.testing.assert_allclose(blend.mean, new.mean, rtol=1e-12)
    np.testing.assert_allclose(blend.std, new.std, rtol=1e-9)
    assert ((blend.median - new.median).abs() <= 2 * blend.quantile_error).all()


def test_the_finer_recorder_is_reduced_to_the_coarser():
    fine = StatsRecorder((0, 3), quantiles=True)
    x, y = torch.randn(3, 2, 5, 9), torch.randn(4, 2, 5, 9)
    fine.update(x)
    coarse = StatsRecorder((0, 1, 3), quantiles=True)
    coarse.update(y)
    for blend in (fine.blended(coarse, 0.5), coarse.blended(fine, 0.5)):
        assert blend.red_dims == (0, 1, 3)
        expected = (x.double().mean((0, 1, 3)) + y.double().mean((0, 1, 3))) / 2
        np.testing.assert_allclose(blend.mean.flatten(), expected, atol=1e-6)


def test_bins_without_new_values_do_not_change():
    x, y = random_spectrograms(3, 0), random_spectrograms(3, 1)
    y[:, :, 4] = torch.nan
    options = {"nonfinite": "skip", "quantiles": True}
    old, new = StatsRecorder((0, 1, 3), **options), StatsRecorder((0, 1, 3), **options)
    old.update(x)
    new.update(y)
    blend = old.blended(new, 0.9)
    for name in ("mean", "std", "median", "min", "max"):
        assert getattr(blend, name)[0, 0, 4] == getattr(old, name)[0, 0, 4]
        assert getattr(blend, name)[0, 0, 5] != getattr(old, name)[0, 0, 5] or name in ("min", "max")


@pytest.mark.parametrize("weight", [0, -0.1, 1.1, float("nan")])
def test_invalid_weights_are_refused(weight):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        recorded(random_spectrograms(3, 0)).blended(recorded(random_spectrograms(3, 1)), weight)
