"""`AudioNormalize` and `ShortTimeNormalize`."""

import pytest
import torch
import torchaudio
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.transforms import AudioNormalize, ShortTimeNormalize

SR = 16000


def test_audio_normalize_gives_zero_mean_and_unit_variance():
    clip = AudioTensor(torch.randn(2, 1000) * torch.tensor([[0.1], [0.4]]) + 0.5, sr=SR)
    before = clip.clone()
    out = AudioNormalize()(clip)
    expected = before.double()
    expected = (expected - expected.mean()) / expected.std(correction=0)
    assert type(out) is AudioTensor and out.sr == SR and out.dtype == torch.float32
    assert torch.allclose(out.double(), expected, atol=1e-5)
    assert torch.equal(clip, before)
    assert torch.allclose(AudioNormalize()(torch.stack([clip, clip * 9]))[1], out, atol=1e-5)  # each clip separately


@pytest.mark.parametrize(
    "clip", [torch.zeros(1, 500), torch.full((1, 500), 0.3), torch.full((2, 1), -0.7), torch.full((1, 80000), 1e-3)]
)
def test_constant_clips_become_zeros(clip):
    assert torch.equal(AudioNormalize()(AudioTensor(clip, sr=SR)), torch.zeros_like(clip))


def test_very_quiet_clips_do_not_count_as_silent():
    clip = AudioTensor(torch.randn(1, 500) * 1e-6, sr=SR)
    assert abs(AudioNormalize()(clip).std(correction=0) - 1) < 1e-5


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_audio_normalize_refuses_clips_that_are_not_finite(value):
    clip = AudioTensor(torch.randn(1, 500), sr=SR)
    clip[0, 7] = value
    with pytest.raises(ValueError, match=r"\[1, 500\].*NaN"):
        AudioNormalize()(clip)


def tones(seconds=1.0, channels=1, gain=0.1):
    t = torch.arange(round(SR * seconds)) / SR
    channels = torch.stack([torch.sin(2 * torch.pi * 300 * (c + 1) * t) for c in range(channels)])
    return AudioTensor((channels * (1 + torch.sin(6 * t)) + 0.2) * gain, sr=SR)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("method, level", [("rms", None), ("rms", -6), ("peak", None), ("peak", -3), ("loudness", -30)])
def test_clips_reach_the_given_level(method, level, per_channel):
    clip = tones(channels=2)
    clip[1] *= 0.1
    before = clip.clone()
    out = AudioNormalize(method, level, per_channel)(clip)
    assert type(out) is AudioTensor and out.sr == SR and torch.equal(clip, before)
    target = {"rms": -20, "peak": 0}[method] if level is None else level
    for part in out.as_subclass(torch.Tensor).split(1 if per_channel else 2):
        if method == "rms":
            assert abs(part.mean()) < 1e-6 and abs(20 * part.square().mean().sqrt().log10() - target) < 1e-3
        elif method == "peak":
            assert abs(20 * part.abs().max().log10() - target) < 1e-3
        else:
            assert abs(torchaudio.functional.loudness(part, SR) - target) < 0.1
    if not per_channel and method == "peak":
        assert torch.allclose(
            out / out.abs().max(), clip / clip.abs().max(), atol=1e-6
        )  # the balance of the channels is preserved


@pytest.mark.parametrize("method", ["zscore", "rms", "peak", "loudness"])
@pytest.mark.parametrize("gain_db", [-60, -20, 20])
def test_audio_normalize_undoes_any_gain(method, gain_db):
    clip, norm = tones(), AudioNormalize(method)
    assert torch.allclose(norm(clip * 10 ** (gain_db / 20)), norm(clip), atol=1e-3 * float(norm(clip).abs().max()))


@pytest.mark.parametrize("method", ["rms", "peak", "loudness"])
def test_silence_stays_silent_and_values_that_are_not_finite_are_refused(method):
    silent = AudioTensor(torch.zeros(2, SR), sr=SR)
    assert torch.equal(AudioNormalize(method)(silent), silent)
    both = AudioNormalize(method)(torch.stack([silent, tones(channels=2)]))  # also in a batch
    assert both.isfinite().all() and both[1].abs().max() > 0
    for bad in (torch.nan, torch.inf):
        clip = tones()
        clip[0, 5] = bad
        with pytest.raises(ValueError, match="NaN or infinite"):
            AudioNormalize(method)(clip)
    if method == "rms":  # it would divide by 1e39
        with pytest.raises(ValueError, match="too loud"):
            AudioNormalize(method)(AudioTensor(torch.tensor([[1e38, -1e38]]), sr=SR))


def test_loudness_of_a_short_clip_is_measured_on_repetitions():
    short = tones(0.1)
    with pytest.warns(UserWarning, match="0.100 s is repeated"):
        out = AudioNormalize("loudness")(short)
    repeated = torch.cat([out.as_subclass(torch.Tensor)] * 5, 1)
    assert abs(torchaudio.functional.loudness(repeated, SR) + 23) < 0.1


def test_loudness_ignores_pauses_like_the_standard(sounds):
    for name in ("1-100032-A-0.ogg", "1-17367-A-10.ogg", "1-27724-A-1.ogg"):
        clip = AudioTensor.create(sounds / "audio" / name)
        out = AudioNormalize("loudness", -40)(clip).as_subclass(torch.Tensor)  # below full scale, where the meter clips
        assert abs(torchaudio.functional.loudness(out, clip.sr) + 40) < 0.1, name


@pytest.mark.parametrize("arguments", [("max",), ("zscore", -3)])
def test_wrong_methods_and_levels_are_refused(arguments):
    with pytest.raises(ValueError, match="Unknown method 'max'|does not accept a level"):
        AudioNormalize(*arguments)


# ---- short-time normalization


def test_short_time_equals_the_formula_in_each_window():
    clip = torch.randn(2, 300, dtype=torch.float64) * torch.linspace(0.1, 3, 300) + torch.linspace(-1, 1, 300)
    out = ShortTimeNormalize(seconds=0.1)(AudioTensor(clip.float(), sr=500))  # 50 samples
    for t in (0, 10, 24, 25, 150, 275, 299):
        start = min(max(t - 25, 0), 250)
        window = clip[:, start : start + 50]
        mean = window.mean()
        expected = (clip[:, t] - mean) / (window - mean).square().mean().sqrt()
        assert torch.allclose(out[:, t].double(), expected, atol=1e-5), t


def test_short_time_amplifies_distant_sounds_but_not_silence():
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


def test_short_time_keeps_type_and_input_and_accepts_any_clip():
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
    with pytest.raises(ValueError, match="must be positive, got 0"):
        ShortTimeNormalize(0)


def test_loudness_of_5_1_leaves_out_the_low_frequency_channel():
    clip = AudioTensor(0.1 * torch.randn(6, 16000), sr=16000)
    normalize = AudioNormalize("loudness")
    gain = normalize(clip)[0, 0] / clip[0, 0]
    without = AudioTensor(clip[[0, 1, 2, 4, 5]], sr=16000)
    assert torch.isclose(normalize(without)[0, 0] / without[0, 0], gain)
    louder = clip.clone()
    louder[3] *= 10
    assert torch.allclose(normalize(louder)[0] / louder[0], gain)
    with pytest.raises(ValueError, match="up to 5 channels and for 5.1, got 8 channels"):
        normalize(AudioTensor(0.1 * torch.randn(8, 16000), sr=16000))
