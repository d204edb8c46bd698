"""Learners, loaders and tensors are loaded by a process that has imported only fastai."""

import pickle
import sys

import pytest
import torch
from fastai.data.block import CategoryBlock, DataBlock, TransformBlock
from fastai.data.transforms import ColReader, IndexSplitter
from fastaudio.augment.preprocess import Resample
from fastaudio.augment.signal import AudioPadType, ResizeSignal
from fastaudio.core.config import AudioBlock, AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioToSpec
from support import run

from fastaudio_norm.data import get_dls
from fastaudio_norm.train import spec_learner
from fastaudio_norm.transforms import SpecNormalize


def to_spec():
    return AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=16, n_fft=512))


def with_block(block, df, folder, **options):
    data = DataBlock(
        blocks=(block, CategoryBlock),
        get_x=ColReader("filename", pref=folder / "audio"),
        get_y=ColReader("category"),
        splitter=IndexSplitter([0, 1]),
        batch_tfms=[to_spec()],
        **options,
    )
    return data.dataloaders(df, bs=4, num_workers=0)


LOADERS = {
    "AudioBlock": lambda df, folder: with_block(AudioBlock, df, folder),
    "AudioBlock with transforms": lambda df, folder: with_block(AudioBlock, df, folder, item_tfms=[ResizeSignal(600)]),
    "own block": lambda df, folder: with_block(TransformBlock(AudioTensor.create), df, folder),
    "get_dls": lambda df, folder: get_dls(
        df, folder, bs=4, batch_tfms=[to_spec(), SpecNormalize(axes=(0, 1, 3))], num_workers=0
    ),
}


def in_process_with_fastai(code, *args):
    "Run code with `args` in a process that has imported fastai."
    imports = "import pickle, sys, torch\nfrom fastai.vision.all import *\nassert 'fastaudio_norm' not in sys.modules\n"
    return run(sys.executable, "-W", "ignore", "-c", imports + code, *map(str, args))


@pytest.mark.parametrize("kind", LOADERS)
def test_learners_and_loaders_load_without_an_import_of_this_package(kind, df, made_up, tmp_path):
    dls = LOADERS[kind](df, made_up)
    x, _ = dls.valid.one_batch()
    with open(tmp_path / "dls.pkl", "wb") as file:
        pickle.dump(dls, file)
    learn = spec_learner(dls)
    with learn.no_bar():
        expected = learn.get_preds()[0]
    learn.export(tmp_path / "learn.pkl")
    code = """
dls = pickle.load(open(sys.argv[1], "rb"))
learn = load_learner(sys.argv[2])
learn.remove_cb(ProgressCallback)
print(tuple(dls.valid.one_batch()[0].shape), learn.get_preds(dl=dls.valid)[0].double().sum(0).tolist())
"""
    shape, sums = in_process_with_fastai(code, tmp_path / "dls.pkl", tmp_path / "learn.pkl").strip().split(") ")
    assert shape + ")" == str(tuple(x.shape))
    torch.testing.assert_close(torch.tensor(eval(sums)), expected.double().sum(0).float(), atol=1e-4, rtol=1e-4)


def test_objects_survive_pickle_and_copies_of_every_protocol(clip, spec):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for x in (clip, spec):
            copy = pickle.loads(pickle.dumps(x, protocol))
            assert type(copy) is type(x) and torch.equal(copy, x) and copy.sr == x.sr
        assert pickle.loads(pickle.dumps(Resample(8000), protocol)).sr_new == 8000
        assert pickle.loads(pickle.dumps(AudioPadType.Zeros, protocol)) is AudioPadType.Zeros


@pytest.mark.parametrize("kind", ["clip", "spec"])
def test_tensors_load_without_an_import_of_this_package(kind, request, tmp_path):
    with open(tmp_path / "x.pkl", "wb") as file:
        pickle.dump(request.getfixturevalue(kind), file)
    out = in_process_with_fastai("x = pickle.load(open(sys.argv[1], 'rb')); print(type(x).__name__, x.sr)", file.name)
    assert out == f"{'AudioTensor' if kind == 'clip' else 'AudioSpectrogram'} 16000\n"
