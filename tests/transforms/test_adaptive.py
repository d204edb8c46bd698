"""PCEN against librosa, relaxed frequency-wise normalization against its formula, and known statistics."""

import librosa
import numpy as np
import pytest
import torch
from fastai.torch_core import TensorCategory, TensorImageBase, TensorMask
from fastaudio.core.config import AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToSpec

from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.transforms.adaptive import PCEN, PCENLayer, RelaxedFreqNorm, RelaxedFreqNormalize, pcen
from fastaudio_norm.transforms.pretrained import ast_stats, beats_stats
from fastaudio_norm.transforms.spectrogram import SpecNormalize

SR = 16000


def spectrogram(to_db=False, gain=1.0):
    config = AudioConfig.BasicMelSpectrogram(n_mels=24, n_fft=1024, hop_length=160, to_db=to_db)
    clips = AudioTensor(torch.randn(3, 1, SR) * torch.tensor([0.01, 0.1, 1.0]).view(3, 1, 1), sr=SR)
    return AudioToSpec.from_cfg(config)(clips * gain)


@pytest.mark.parametrize("frames", [1, 63, 64, 65, 300])
@pytest.mark.parametrize(
    "options",
    [{}, {"time_constant": 0.05}, {"gain": 0.6, "bias": 10.0}, {"power": 0.25}, {"eps": 1e-3, "power": 0.8}],
)
def test_pcen_is_librosas(frames, options):
    x = torch.rand(2, 1, 5, frames) ** 6 * torch.tensor([1e-8, 1e-2, 1, 1e4, 1e9]).view(5, 1)
    expected = librosa.pcen(x.double().numpy(), sr=22050, hop_length=512, **options)
    found = pcen(x, 22050 / 512, initial=1.0, **options).numpy()
    assert np.abs(found / expected - 1).max() < 1e-4
    expected = from_first_frame(x, 22050, 512, **options)
    assert np.abs(pcen(x, 22050 / 512, **options).numpy() / expected - 1).max() < 1e-4


def from_first_frame(x, sr, hop_length, time_constant=0.4, **options):
    "librosa's, with the filter's state that of an average that starts with the first frame."
    t2 = (time_constant * sr / hop_length) ** 2
    b = (np.sqrt(1 + 4 * t2) - 1) / (2 * t2)
    x = x.as_subclass(torch.Tensor).double().numpy()
    zi = (1 - b) * x[..., :1]
    return librosa.pcen(x, sr=sr, hop_length=hop_length, time_constant=time_constant, zi=zi, **options)


def test_pcen_as_a_transform():
    spec = spectrogram()
    before = spec.clone()
    out = PCEN()(spec)
    expected = from_first_frame(spec * 2.0**62, SR, 160)
    assert type(out) is AudioSpectrogram and out.settings == spec.settings and torch.equal(spec, before)
    assert np.abs(out.numpy() / expected - 1).max() < 1e-4
    louder = PCEN(gain=1.0)(spec * 100)  # with a gain of 1, the level is gone
    assert torch.allclose(louder.as_subclass(torch.Tensor), PCEN(gain=1.0)(spec).as_subclass(torch.Tensor), rtol=1e-3)
    assert PCEN()(spec[0]).shape == spec[0].shape and PCEN()(spec * 0).isfinite().all()


def test_pcen_refuses_decibels_and_unknown_frames():
    with pytest.raises(ValueError, match="to_db=False"):
        PCEN()(spectrogram(to_db=True))
    with pytest.raises(ValueError, match="to_db=False"):
        PCEN(frame_rate=100)(TensorImageBase(torch.randn(1, 1, 8, 9)))
    with pytest.raises(ValueError, match="give PCEN a frame_rate"):
        PCEN()(TensorImageBase(torch.rand(1, 1, 8, 9)))
    assert PCEN(frame_rate=100)(TensorImageBase(torch.rand(1, 1, 8, 9))).isfinite().all()


def test_pcen_can_be_trained():
    x = torch.rand(2, 1, 6, 130) + 0.1
    layer = PCENLayer(6, frame_rate=100)
    assert torch.allclose(layer(x), pcen(x, 100), rtol=1e-4)
    layer(x).square().mean().backward()
    assert len(list(layer.parameters())) == 3
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in layer.parameters())
    again = PCENLayer(6, frame_rate=100, gain=0.5)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again(x), layer(x))


@pytest.mark.parametrize("relaxation", [0, 0.3, 1])
def test_relaxed_is_its_formula(relaxation):
    x = torch.randn(4, 2, 6, 30) * torch.rand(6, 1) * 20 - 50

    def normalized(dims):
        d = x.double()
        return (d - d.mean(dims, keepdim=True)) / (d.var(dims, correction=0, keepdim=True) + 1e-5).sqrt()

    expected = relaxation * normalized((1, 2, 3)) + (1 - relaxation) * normalized((1, 3))
    layer, tfm = RelaxedFreqNorm(relaxation), RelaxedFreqNormalize(relaxation)
    assert torch.allclose(layer(x).double(), expected, atol=1e-4)
    assert torch.allclose(tfm(TensorImageBase(x)).as_subclass(torch.Tensor), layer(x), atol=1e-5)
    assert torch.allclose(tfm(TensorImageBase(x[1])).as_subclass(torch.Tensor), layer(x)[1], atol=1e-5)
    if relaxation == 0:
        expected = SpecNormalize(axes=(1, 3))(TensorImageBase(x)).as_subclass(torch.Tensor)
        assert torch.allclose(layer(x), expected, atol=1e-4)


def test_relaxed_keeps_type_and_stays_finite():
    spec = spectrogram(to_db=True)
    out = RelaxedFreqNormalize()(spec)
    assert type(out) is AudioSpectrogram and out.settings == spec.settings
    constant = TensorImageBase(torch.full((2, 1, 4, 9), -100.0))
    assert torch.allclose(
        RelaxedFreqNormalize()(constant).as_subclass(torch.Tensor), torch.zeros(2, 1, 4, 9), atol=1e-2
    )
    with pytest.raises(ValueError, match="0 and 1"):
        RelaxedFreqNormalize(2)
    with pytest.raises(ValueError, match=r"not \[8, 9\]"):
        RelaxedFreqNormalize()(TensorImageBase(torch.randn(8, 9)))


@pytest.mark.parametrize("norm", [PCEN(), RelaxedFreqNormalize()])
def test_they_act_in_a_loader_and_warn_elsewhere(norm, df, made_up):
    config = AudioConfig.BasicMelSpectrogram(n_mels=16, n_fft=1024, hop_length=512, to_db=not isinstance(norm, PCEN))
    to_spec = AudioToSpec.from_cfg(config)
    plain, normed = (
        get_dls(df, made_up, bs=8, batch_tfms=[to_spec, *tfms], num_workers=0).valid.one_batch()[0]
        for tfms in ((), (norm,))
    )
    assert normed.shape == plain.shape and normed.isfinite().all() and not torch.equal(plain, normed)
    with pytest.warns(UserWarning, match="has no effect"):
        norm((AudioTensor(torch.randn(1, 50), sr=SR), TensorCategory(1)))
    mask = TensorMask(torch.zeros(4, 4))
    assert norm((mask, plain))[0] is mask


@pytest.mark.parametrize("stats", [ast_stats, beats_stats])
def test_a_pretrained_networks_own_statistics(stats):
    x = torch.randn(2, 1, 128, 30) * 4 + 2
    out = SpecNormalize.from_stats(stats)(TensorImageBase(x))
    assert torch.allclose(out.as_subclass(torch.Tensor), (x - stats.mean) / stats.std, atol=1e-5)
    assert ast_stats.std == pytest.approx(9.138, abs=1e-3) and beats_stats.std == pytest.approx(2 * 6.55582)
