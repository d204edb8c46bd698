"""`PCEN` as a transform, against librosa."""

import librosa
import numpy as np
import pytest
import torch
from fastai.torch_core import TensorImageBase
from fastaudio.core.config import AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToSpec

from fastaudio_norm.transforms import PCEN

SR = 16000


def spectrogram(to_db=False, gain=1.0):
    config = AudioConfig.BasicMelSpectrogram(n_mels=24, n_fft=1024, hop_length=160, to_db=to_db)
    clips = AudioTensor(torch.randn(3, 1, SR) * torch.tensor([0.01, 0.1, 1.0]).view(3, 1, 1), sr=SR)
    return AudioToSpec.from_cfg(config)(clips * gain)


def librosa_from_first_frame(x, sr, hop_length, time_constant=0.4, **options):
    "librosa's PCEN, with the filter state of an average that starts at the first frame."
    t2 = (time_constant * sr / hop_length) ** 2
    b = (np.sqrt(1 + 4 * t2) - 1) / (2 * t2)
    x = x.as_subclass(torch.Tensor).double().numpy()
    zi = (1 - b) * x[..., :1]
    return librosa.pcen(x, sr=sr, hop_length=hop_length, time_constant=time_constant, zi=zi, **options)


def test_pcen_equals_librosa_on_samples_scaled_to_32_bits():
    spec = spectrogram()
    before = spec.clone()
    out = PCEN()(spec)
    expected = librosa_from_first_frame(spec * 2.0**62, SR, 160)
    assert type(out) is AudioSpectrogram and out.settings == spec.settings and torch.equal(spec, before)
    assert np.abs(out.numpy() / expected - 1).max() < 1e-4
    louder = PCEN(gain=1.0)(spec * 100)  # a gain of 1 removes the level
    assert torch.allclose(louder.as_subclass(torch.Tensor), PCEN(gain=1.0)(spec).as_subclass(torch.Tensor), rtol=1e-3)
    assert PCEN()(spec[0]).shape == spec[0].shape and PCEN()(spec * 0).isfinite().all()


def test_pcen_refuses_decibels_and_unknown_frame_rates():
    with pytest.raises(ValueError, match="to_db=False"):
        PCEN()(spectrogram(to_db=True))
    with pytest.raises(ValueError, match="to_db=False"):
        PCEN(frame_rate=100)(TensorImageBase(torch.randn(1, 1, 8, 9)))
    with pytest.raises(ValueError, match="pass frame_rate to PCEN"):
        PCEN()(TensorImageBase(torch.rand(1, 1, 8, 9)))
    assert PCEN(frame_rate=100)(TensorImageBase(torch.rand(1, 1, 8, 9))).isfinite().all()
