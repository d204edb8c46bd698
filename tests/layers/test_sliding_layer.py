"""`sliding_normalize` against torchaudio, and its gradient."""

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.audio import SPECS, cached_clips
from fastaudio_norm.data import read_esc50
from fastaudio_norm.layers import sliding_normalize
from fastaudio_norm.layers.base import nonzero_scale
from fastaudio_norm.layers.sliding import window_bounds


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


def expected_in_float64(x, window, center, min_window, norm_vars):
    "Mean and standard deviation of each window, computed separately, and `nonzero_scale`."
    x, columns = x.double(), []
    for t, (start, end) in enumerate(zip(*window_bounds(x.shape[-1], window, center, min_window))):
        values = x[..., start:end]
        mean, std = values.mean(-1), values.std(-1, correction=0)
        columns.append((x[..., t] - mean) / (nonzero_scale(mean, std) if norm_vars else 1))
    return torch.stack(columns, -1)


@settings(deadline=None, max_examples=60)
@given(
    frames=st.integers(1, 120),
    window=st.integers(1, 60),
    min_window=st.integers(1, 100),
    center=st.booleans(),
    norm_vars=st.booleans(),
    decades=st.integers(0, 12),
    clicks=st.lists(st.tuples(st.integers(0, 119), st.floats(1, 1e15)), max_size=3),
    seed=st.integers(0, 99),
)
def test_results_are_exact_whatever_the_dynamic_range(
    frames, window, min_window, center, norm_vars, decades, clicks, seed
):
    "Power spectrograms whose level falls by up to twelve decades from frame to frame, with clicks."
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, frames, generator=generator).square() * 10 ** (
        -decades * torch.rand(frames, generator=generator)
    )
    for t, level in clicks:
        x[0, t % frames] = level
    expected = expected_in_float64(x, window, center, min_window, norm_vars)
    options = {"window": window, "center": center, "min_window": min_window, "norm_vars": norm_vars}
    for found in (sliding_normalize(x, **options), sliding_normalize(x.clone().requires_grad_(), **options).detach()):
        assert ((found - expected).abs() <= 1e-5 * expected.abs().clamp(min=1)).all()


@pytest.mark.parametrize("gradient", [False, True])
def test_a_click_has_no_effect_after_its_windows(gradient):
    "Seconds after a click of 1e6, differences of running sums were wrong by up to 61 standard deviations."
    x = torch.randn(1, 1, 1, 3000, generator=torch.Generator().manual_seed(0)).square() * 1e-8
    clicked = x.clone()
    clicked[..., 500] = 1e6
    found, expected = (sliding_normalize(y.requires_grad_(gradient), 300).detach() for y in (clicked, x))
    assert torch.allclose(found[..., 700:], expected[..., 700:], atol=1e-5)


def test_values_that_are_not_finite_stay_in_their_windows():
    x = torch.randn(1, 500)
    x[0, 100], x[0, 300] = torch.nan, torch.inf
    for y in (x, x.clone().requires_grad_()):
        finite = sliding_normalize(y, 20).isfinite()[0]
        assert finite[:80].all() and finite[130:280].all() and finite[330:].all()
