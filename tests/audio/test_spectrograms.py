"""Gammatone filters and spectrograms."""

import numpy as np
import pytest
import scipy.signal
import torch
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.audio.spectrograms import gammatone_fbanks, gammatone_spec, spec_settings
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
