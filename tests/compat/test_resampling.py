"""Resampling equals scipy's at usual rates, and needs little memory at all others."""

import tracemalloc

import numpy as np
import pytest
import torch
from fastaudio.augment.preprocess import Resample
from fastaudio.core.signal import AudioTensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from fastaudio_norm.compat.resampling import MAX_PRODUCT, resampling_factors
from fastaudio_norm.serve import ResampleLayer

USUAL = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000]


def resampled(x, old, new):
    return Resample(new)(AudioTensor(torch.from_numpy(x), sr=old)).as_subclass(torch.Tensor).numpy()


@pytest.mark.parametrize("new", [8000, 16000, 22050, 32000, 44100, 48000])
def test_usual_rates_are_exact(new):
    x = np.random.default_rng(0).standard_normal((2, 1001)).astype(np.float32)
    for old in USUAL:
        if old != new:
            np.testing.assert_array_equal(resampled(x, old, new), resample_poly(x, new, old, axis=-1))


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 10**6), st.sampled_from(USUAL))
def test_factors_are_bounded_and_their_error_too(old, new):
    up, down = resampling_factors(old, new)
    assert up * down <= 1.01 * MAX_PRODUCT and abs(up / down * old / new - 1) < 5e-4


@pytest.mark.parametrize("old", [44101, 15999, 47999, 999983])
def test_the_layer_resamples_from_unusual_rates_as_the_loader_does_in_little_memory(old):
    x = np.random.default_rng(0).standard_normal((1, 20_000)).astype(np.float32)
    tracemalloc.start()
    expected = resampled(x, old, 16000)
    found = ResampleLayer(old, 16000)(torch.from_numpy(x))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_tone_keeps_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(44101) / 44101, dtype=np.float32)
    found = resampled(tone[None], 44101, 16000)[0]
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    np.testing.assert_allclose(found[100:-100], expected[100:-100], atol=0.02)
