"""Metadata of `AudioTensor` and `AudioSpectrogram`."""

import copy
import io
import pickle

import pytest
import torch
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToMFCC

SR = 16000


def saved_and_loaded(x):
    file = io.BytesIO()
    torch.save(x, file)
    return torch.load(io.BytesIO(file.getvalue()))  # default: weights_only=True


OPERATIONS = {
    "clone": lambda x: x.clone(),
    "index": lambda x: x[..., 3:9],
    "times": lambda x: x * 2,
    "minus, from a plain tensor": lambda x: torch.ones(1) - x,
    "where, with a plain mask": lambda x: torch.where(torch.ones(x.shape, dtype=torch.bool), x, 0.0),
    "half": lambda x: x.half(),
    "cat": lambda x: torch.cat([x, x]),
    "stack": lambda x: torch.stack([x, x]),
    "split": lambda x: x.split(1)[1],
    "mean": lambda x: x.mean(-1, keepdim=True),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "save": saved_and_loaded,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_preserve_metadata(name, clip, spec):
    mfcc = AudioToMFCC(n_mfcc=20, melkwargs={"n_mels": 40})(clip)
    audio = OPERATIONS[name](clip)
    assert type(audio) is AudioTensor and audio.sr == SR
    for x in (spec, mfcc):
        copied = OPERATIONS[name](x)
        assert type(copied) is AudioSpectrogram and copied.settings == x.settings
    if name in ("clone", "copy", "deepcopy", "pickle", "save"):
        assert torch.equal(copied, mfcc)


def test_settings_are_attributes_and_unknown_ones_raise_attribute_error(spec):
    assert spec.n_mels == 64 and spec.sr == SR
    assert getattr(spec, "no_such_setting", None) is None
    with pytest.raises(AttributeError, match="no_such_setting"):
        spec.no_such_setting
