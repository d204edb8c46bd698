"""Learners, loaders and tensors are loaded by a process that has imported only fastai."""

import pickle
from ast import literal_eval

import quick_python
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
    "AudioBlock with transforms": lambda df, folder: with_block(
        AudioBlock, df, folder, item_tfms=[ResizeSignal(600, AudioPadType.Zeros_After)]
    ),
    "own block": lambda df, folder: with_block(TransformBlock(AudioTensor.create), df, folder),
    "get_dls": lambda df, folder: get_dls(
        df, folder, bs=4, batch_tfms=[to_spec(), SpecNormalize(axes=(0, 1, 3))], num_workers=0
    ),
}


def test_learners_loaders_and_tensors_load_without_an_import_of_this_package(df, made_up, clip, spec, tmp_path):
    "Each in a process forked before anything was loaded, so that none profits from the import of another."
    expected = []
    for i, make in enumerate(LOADERS.values()):
        dls = make(df, made_up)
        (tmp_path / f"{i}-dls").write_bytes(pickle.dumps(dls))
        learn = spec_learner(dls)
        with learn.no_bar():
            expected.append(learn.get_preds()[0].double().sum(0))
        learn.export(tmp_path / f"{i}-learn")
    (tmp_path / "clip").write_bytes(pickle.dumps(clip))
    (tmp_path / "spec").write_bytes(pickle.dumps(spec))
    code = """
import os, pickle, sys
from fastai.vision.all import *
assert not {"fastaudio", "fastaudio_norm", "torchaudio"} & set(sys.modules)
folder = Path(sys.argv[1])

def load(file):
    if file.name.endswith("learn"):
        learn = load_learner(file)
        learn.remove_cb(ProgressCallback)
        dls = pickle.loads((folder / file.name.replace("learn", "dls")).read_bytes())
        return learn.get_preds(dl=dls.valid)[0].double().sum(0).tolist()
    x = pickle.loads(file.read_bytes())
    return tuple(x.valid.one_batch()[0].shape) if file.name.endswith("dls") else (type(x).__name__, x.sr)

for file in folder.ls().sorted():
    if os.fork() == 0:
        print(repr((file.name, load(file))), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, file
"""
    lines = run(quick_python.start(), "-W", "ignore", "-c", code, str(tmp_path)).splitlines()
    loaded = dict(map(literal_eval, lines))
    assert loaded["clip"] == ("AudioTensor", 16000) and loaded["spec"] == ("AudioSpectrogram", 16000)
    for i, sums in enumerate(expected):
        assert len(loaded[f"{i}-dls"]) == 4
        torch.testing.assert_close(torch.tensor(loaded[f"{i}-learn"]).double(), sums, atol=1e-4, rtol=1e-4)


def test_objects_survive_pickle_of_every_protocol(clip, spec):
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for x in (clip, spec):
            copy = pickle.loads(pickle.dumps(x, protocol))
            assert type(copy) is type(x) and torch.equal(copy, x) and copy.sr == x.sr
        assert pickle.loads(pickle.dumps(Resample(8000), protocol)).sr_new == 8000
        assert pickle.loads(pickle.dumps(AudioPadType.Zeros, protocol)) is AudioPadType.Zeros
