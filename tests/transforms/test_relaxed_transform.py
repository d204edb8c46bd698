"""`RelaxedFreqNorm` and `RelaxedFreqNormalize` against the formula."""

import pytest
import torch
from fastai.torch_core import TensorImageBase
from fastaudio.core.config import AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToSpec

from fastaudio_norm.layers import RelaxedFreqNorm
from fastaudio_norm.transforms import RelaxedFreqNormalize, SpecNormalize

SR = 16000


@pytest.mark.parametrize("relaxation", [0, 0.3, 1])
def test_relaxed_normalization_equals_the_formula(relaxation):
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


def test_relaxed_normalization_keeps_the_type_and_stays_finite():
    config = AudioConfig.BasicMelSpectrogram(n_mels=24, n_fft=1024, hop_length=160)
    spec = AudioToSpec.from_cfg(config)(AudioTensor(torch.randn(3, 1, SR), sr=SR))
    out = RelaxedFreqNormalize()(spec)
    assert type(out) is AudioSpectrogram and out.settings == spec.settings
    constant = TensorImageBase(torch.full((2, 1, 4, 9), -100.0))
    assert torch.allclose(
        RelaxedFreqNormalize()(constant).as_subclass(torch.Tensor), torch.zeros(2, 1, 4, 9), atol=1e-2
    )
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        RelaxedFreqNormalize(2)
    with pytest.raises(ValueError, match=r"got \[8, 9\]"):
        RelaxedFreqNormalize()(TensorImageBase(torch.randn(8, 9)))
