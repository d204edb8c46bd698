"""`sliding_normalize` against torchaudio, and its gradient."""

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.audio import SPECS, cached_clips
from fastaudio_norm.data import read_esc50
from fastaudio_norm.layers import sliding_normalize


def expected_by_torchaudio(x, window, center, min_window, norm_vars):
    by_frames = x.double().transpose(-1, -2).contiguous()
    return torchaudio.functional.sliding_window_cmn(by_frames, window, min_window, center, norm_vars).transpose(-1, -2)


@settings(deadline=None)
@given(
    frames=st.integers(1, 80),
    window=st.integers(2, 100),
    min_window=st.integers(2, 100),
    center=st.booleans(),
    norm_vars=st.booleans(),
    level=st.sampled_from([0.0, -60.0, 1e3]),
    seed=st.integers(0, 99),
)
def test_sliding_normalize_equals_torchaudio(frames, window, min_window, center, norm_vars, level, seed):
    x = torch.randn(2, 3, frames, generator=torch.Generator().manual_seed(seed)) * 20 + level
    expected = expected_by_torchaudio(x, window, center, min_window, norm_vars)
    usable = expected.isfinite() & (expected.abs() < 100)  # torchaudio divides by a variance of 0
    options = {"window": window, "center": center, "min_window": min_window, "norm_vars": norm_vars}
    for found in (sliding_normalize(x, **options), sliding_normalize(x.clone().requires_grad_(), **options).detach()):
        assert found.isfinite().all() and found.dtype == x.dtype
        assert torch.allclose(found[usable].double(), expected[usable], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("norm_vars", [True, False])
def test_sliding_normalize_equals_torchaudio_on_recordings(sounds, center, norm_vars):
    clips = cached_clips(read_esc50(sounds).iloc[:24], sounds)
    spec = torch.stack([SPECS["linear"]()(clip).as_subclass(torch.Tensor) for clip in clips.values()])
    expected = expected_by_torchaudio(spec, 100, center, 30, norm_vars)
    found = sliding_normalize(spec, 100, center, 30, norm_vars).double()
    # digital silence has windows without variance in a linear spectrogram, for which torchaudio returns NaN
    usable = expected.isfinite() & (expected.abs() < 100)
    assert usable.float().mean() > 0.9
    assert (found - expected)[usable].abs().max() < 1e-4


def test_gradient_equals_finite_differences():
    x = torch.randn(1, 2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: sliding_normalize(y, 5), x)
