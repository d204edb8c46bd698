"""Sliding windows, against torchaudio and against each window by itself; short-time normalization of waveforms."""

import pytest
import torch
import torchaudio
from fastai.torch_core import TensorImageBase
from fastaudio.core.signal import AudioTensor
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.audio.cache import cached_clips
from fastaudio_norm.audio.spectrograms import SPECS
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.transforms.sliding import ShortTimeNormalize, SlidingNormalize, sliding_normalize
from fastaudio_norm.transforms.spectrogram import AudioNormalize, SpecNormalize

SR = 16000


def torchaudios(x, window, center, min_window, norm_vars):
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
def test_it_is_torchaudios(frames, window, min_window, center, norm_vars, level, seed):
    x = torch.randn(2, 3, frames, generator=torch.Generator().manual_seed(seed)) * 20 + level
    expected = torchaudios(x, window, center, min_window, norm_vars)
    usable = expected.isfinite() & (expected.abs() < 100)  # theirs divides by no variance at all
    options = {"window": window, "center": center, "min_window": min_window, "norm_vars": norm_vars}
    for found in (sliding_normalize(x, **options), sliding_normalize(x.clone().requires_grad_(), **options).detach()):
        assert found.isfinite().all() and found.dtype == x.dtype
        assert torch.allclose(found[usable].double(), expected[usable], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("norm_vars", [True, False])
def test_it_is_torchaudios_on_recorded_sound(esc10, center, norm_vars):
    clips = cached_clips(read_esc50(esc10).iloc[:24], esc10)
    spec = torch.stack([SPECS["linear"]()(clip).as_subclass(torch.Tensor) for clip in clips.values()])
    expected = torchaudios(spec, 100, center, 30, norm_vars)
    found = sliding_normalize(spec, 100, center, 30, norm_vars).double()
    # the linear spectrogram of digital silence is the same in all frames of some windows, of which theirs makes NaN
    usable = expected.isfinite() & (expected.abs() < 100)
    assert usable.float().mean() > 0.9
    assert (found - expected)[usable].abs().max() < 1e-4


def test_a_window_longer_than_the_clip_is_the_clip():
    x = TensorImageBase(torch.randn(4, 2, 6, 50) * 20 - 60)
    assert torch.allclose(SlidingNormalize(300)(x), SpecNormalize(axes=(3,))(x), atol=1e-5)


@pytest.mark.parametrize("center", [True, False])
def test_what_has_no_variance_becomes_zeros(center):
    x = torch.randn(2, 1, 4, 60)
    x[:, :, 1] = -100.0
    x[:, :, 2] = 1 / 3
    x[0] = 7.0
    for given_x in (x, x.half(), x.clone().requires_grad_()):
        out = SlidingNormalize(10, center, min_window=5)(TensorImageBase(given_x))
        assert out.isfinite().all() and out[0].abs().max() < 1e-3 and out[:, :, [1, 2]].abs().max() < 1e-3
        assert out.dtype == given_x.dtype


def test_rounding_is_no_variance():
    "Values that differ by the last bit of float32 are as good as constant, here as in SpecNormalize."
    x = torch.full((1, 1, 1, 200), -100.0)
    x[..., ::3] = torch.nextafter(torch.tensor(-100.0), torch.tensor(0.0))
    for given_x in (x, x.clone().requires_grad_()):
        assert SlidingNormalize(50)(TensorImageBase(given_x)).abs().max() < 1e-4
    assert SpecNormalize(axes=(3,))(TensorImageBase(x)).abs().max() < 1e-4


def test_a_loud_stretch_leaves_no_trace_once_it_is_gone():
    x = torch.randn(1, 1, 1, 400)
    bumped = x.clone()
    bumped[..., 100:110] += 1e4
    norm = SlidingNormalize(50)
    after = slice(160, 400)
    found, expected = (norm(TensorImageBase(y))[..., after].as_subclass(torch.Tensor) for y in (bumped, x))
    assert torch.allclose(found, expected, atol=1e-4)


def test_gradient_is_that_of_the_formula():
    x = torch.randn(1, 2, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: sliding_normalize(y, 5), x)


@pytest.mark.parametrize("arguments", [{"window": 0}, {"min_window": 0}])
def test_windows_have_frames(arguments):
    with pytest.raises(ValueError, match="1 frame or more, not 0"):
        SlidingNormalize(**arguments)


# ---- waveforms


def test_short_time_is_the_formula_in_each_window():
    clip = torch.randn(2, 300, dtype=torch.float64) * torch.linspace(0.1, 3, 300) + torch.linspace(-1, 1, 300)
    out = ShortTimeNormalize(seconds=0.1)(AudioTensor(clip.float(), sr=500))  # 50 samples
    for t in (0, 10, 24, 25, 150, 275, 299):
        start = min(max(t - 25, 0), 250)
        window = clip[:, start : start + 50]
        mean = window.mean()
        expected = (clip[:, t] - mean) / (window - mean).square().mean().sqrt()
        assert torch.allclose(out[:, t].double(), expected, atol=1e-5), t


def test_short_time_brings_out_what_is_far_and_leaves_silence_alone():
    t = torch.arange(4 * SR) / SR
    tone = torch.sin(2 * torch.pi * 440 * t)
    tone[SR : 2 * SR] *= 0.02
    tone[2 * SR : 3 * SR] *= 1e-5  # below the floor
    out = ShortTimeNormalize(0.25)(AudioTensor(tone[None], sr=SR))[0]
    near, far, silence = (out[k * SR + SR // 3 : k * SR + 2 * SR // 3].std() for k in range(3))
    assert abs(near - 1) < 0.02 and abs(far - 1) < 0.02 and silence < 0.01


@pytest.mark.parametrize("gain_db", [-60, 20])
def test_short_time_undoes_any_gain(gain_db):
    clip = AudioTensor(torch.randn(2, SR) * torch.linspace(0.01, 1, SR) + 0.1, sr=SR)
    norm = ShortTimeNormalize(0.1)
    assert torch.allclose(norm(clip * 10 ** (gain_db / 20)), norm(clip), atol=1e-3)


def test_short_time_keeps_type_and_input_and_takes_any_clip():
    clip = AudioTensor(torch.randn(2, 100), sr=SR)
    before, norm = clip.clone(), ShortTimeNormalize(1)
    out = norm(clip)
    assert type(out) is AudioTensor and out.sr == SR and torch.equal(clip, before)
    assert torch.allclose(out, AudioNormalize()(clip), atol=1e-5)  # shorter than the window
    for silent in (clip * 0, clip * 0 + 0.3, clip[:, :1] * 0):
        assert norm(silent).abs().max() < 1e-6
    assert norm(AudioTensor(torch.randint(-9, 9, (1, 50)), sr=SR)).dtype == torch.float32
    batch = norm(AudioTensor(torch.stack([clip, clip * 3]), sr=SR))
    assert torch.allclose(batch[0], batch[1], atol=1e-5) and torch.allclose(batch[0], out, atol=1e-6)
    clip[0, 3] = torch.nan
    with pytest.raises(ValueError, match=r"\[2, 100\].*NaN"):
        norm(clip)
    with pytest.raises(ValueError, match="longer than 0"):
        ShortTimeNormalize(0)
