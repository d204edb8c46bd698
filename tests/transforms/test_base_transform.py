"""Warnings of transforms in the wrong place."""

import warnings

import pytest
import torch
from fastai.torch_core import TensorCategory, TensorImageBase, TensorMask
from fastaudio.core.config import AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioToSpec

from fastaudio_norm.data import get_dls
from fastaudio_norm.transforms import PCEN, AudioNormalize, RelaxedFreqNormalize, SpecNormalize

SR = 16000


def test_a_tensor_of_the_wrong_type_warns():
    clip, spec = AudioTensor(torch.randn(1, 100), sr=SR), TensorImageBase(torch.randn(1, 1, 6, 5))
    for norm, x in [
        (SpecNormalize(0, 1), clip),
        (AudioNormalize(), spec),
        (SpecNormalize(0, 1), torch.randn(1, 1, 6, 5)),
    ]:
        with pytest.warns(UserWarning, match=f"{type(norm).__name__} has no effect on"):
            assert norm((x, TensorCategory(1)))[0] is x
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpecNormalize(0, 2)((spec, TensorCategory(1)))


@pytest.mark.parametrize("norm", [PCEN(), RelaxedFreqNormalize()])
def test_pcen_and_relaxed_normalization_work_in_a_loader_and_warn_elsewhere(norm, df, made_up):
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
