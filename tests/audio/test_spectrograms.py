"""Spectrograms by name, of any sample rate, and gammatone filters."""

import json

import numpy as np
import pytest
import scipy.signal
import torch
from fastaudio.core.config import AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioToSpec

from fastaudio_norm.audio.spectrograms import (
    about_spec,
    gammatone_fbanks,
    gammatone_spec,
    make_spec,
    most_mels,
    spec_settings,
    to_spec,
)
from fastaudio_norm.stats import bin_frequencies, gammatone_frequencies

SR = 16000


@pytest.mark.parametrize("centre", [200, 1000, 5000])
def test_gammatone_filters_agree_with_scipy(centre):
    n_fft = 1 << 14
    b, a = scipy.signal.gammatone(centre, "fir", fs=SR, numtaps=8000)
    f = np.linspace(0, SR / 2, n_fft // 2 + 1)
    scipys = abs(scipy.signal.freqz(b, a, f, fs=SR)[1]) ** 2
    ours = gammatone_fbanks(len(f), centre, centre, 1, SR)[:, 0].numpy()
    near = scipys > 1e-3 * scipys.max()
    assert np.abs(10 * np.log10(ours[near] / (scipys[near] / scipys.max()))).max() < 0.2  # dB
    assert abs(f[ours.argmax()] - centre) < 1


def test_gammatone_spectrogram_of_a_tone_peaks_in_its_filter():
    t = torch.arange(SR) / SR
    to_spec = gammatone_spec(SR, n_filters=32)
    frequencies = gammatone_frequencies(50, 7200, 32)
    assert frequencies[0] == pytest.approx(50) and frequencies[-1] == pytest.approx(7200)
    for k in (5, 20, 30):
        tone = AudioTensor(torch.sin(2 * torch.pi * frequencies[k] * t)[None].float(), sr=SR)
        spec = to_spec(tone)
        assert spec.shape[-2] == 32 and spec.mean(-1)[0].argmax() == k
    assert np.allclose(bin_frequencies(spec_settings(spec)), frequencies)
    power = gammatone_spec(SR, n_filters=32, to_db=False)(tone)
    assert torch.allclose(10 * power.clamp(min=1e-10).log10(), spec, atol=1e-3)
    with pytest.raises(ValueError, match="9000"):
        gammatone_spec(SR, f_max=9000)


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 16000, 22050, 44100, 96000])
@pytest.mark.parametrize("name", ["mel", "mel-20ms", "linear", "gammatone"])
def test_spectrograms_have_the_same_durations_and_no_empty_band_at_any_rate(name, rate):
    made, at_16k = make_spec(name, rate), make_spec(name)
    for setting in ("n_fft", "hop_length"):
        seconds = [spec.settings[setting] / r for spec, r in ((made, rate), (at_16k, 16000))]
        assert seconds[0] == pytest.approx(seconds[1], rel=0.42)  # windows are powers of two
    noise = AudioTensor(torch.randn(1, rate, generator=torch.Generator().manual_seed(0)), sr=rate)
    spec = made(noise)
    assert bin_frequencies(spec_settings(spec)).max() <= rate / 2
    assert spec.as_subclass(torch.Tensor).std(-1).min() > 0.1  # dB; 0 in an empty band


@pytest.mark.parametrize("n_fft, f_min, f_max", [(64, 0, 8000), (256, 0, 8000), (400, 300, 3400), (1024, 0, 500)])
def test_the_number_of_mel_bands_is_the_largest_without_an_empty_one(n_fft, f_min, f_max):
    n = most_mels(400, n_fft, f_min, f_max, SR)
    assert make_spec("mel", n_mels=n, n_fft=n_fft, f_min=f_min, f_max=f_max).settings["n_mels"] == n
    with pytest.raises(ValueError, match=f"use at most {n} "):
        make_spec("mel", n_mels=n + 1, n_fft=n_fft, f_min=f_min, f_max=f_max)
    assert make_spec("mel", n_fft=n_fft, f_min=f_min, f_max=f_max).settings["n_mels"] <= min(n, 64)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "cqt"}, "Unknown spectrogram 'cqt'"),
        ({"n_mels": 0}, "`n_mels` must be at least 1, got 0"),
        ({"hop": -1}, "`hop` must be at least 1"),
        ({"f_min": 500, "f_max": 400}, "must lie between 0 and 8000 Hz"),
        ({"rate": 8000, "f_max": 5000}, "must lie between 0 and 4000 Hz"),
        ({"name": "linear", "f_min": 100}, "has no f_min"),
    ],
)
def test_impossible_spectrograms_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_spec(**options)


def test_a_spectrogram_can_be_a_transform_or_a_function():
    own = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(sample_rate=22050, n_mels=32))
    clip = AudioTensor(torch.randn(1, 22050, generator=torch.Generator().manual_seed(0)), sr=22050)
    expected = own(clip).clone()
    for spec in (own, lambda: own, lambda rate, to_db: own):
        assert torch.equal(to_spec(spec, 22050)(clip), expected)
        power = to_spec(spec, 22050, to_db=False)(clip)
        torch.testing.assert_close(10 * power.clamp(min=1e-10).log10(), expected, rtol=1e-4, atol=1e-3)
        about = about_spec(spec, 22050)
        assert about["name"] == "own" and about["settings"]["n_mels"] == 32 and json.dumps(about)
    assert torch.equal(own(clip), expected)
    with pytest.raises(ValueError, match="made for 22,050 Hz, the clips have 16,000 Hz"):
        to_spec(own)
    no_db = AudioToSpec(torch.nn.Identity(), {})
    with pytest.raises(ValueError, match="PCEN needs a spectrogram in power"):
        to_spec(no_db, to_db=False)
