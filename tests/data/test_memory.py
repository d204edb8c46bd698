"""Loaders that keep all clips of a split in memory."""

import random

import pytest
import torch
from fastaudio.augment.signal import AddNoise, ResizeSignal
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.audio import ActiveCrop, RandomSpeed
from fastaudio_norm.audio.spectrograms import SPECS
from fastaudio_norm.data import get_dls
from fastaudio_norm.transforms import AudioNormalize, SpecNormalize


def loaders(df, path, in_memory, **kwargs):
    spec, norm = SPECS["mel"](), SpecNormalize(axes=(0, 1, 3))
    dls = get_dls(df, path, bs=8, item_tfms=AudioNormalize, batch_tfms=[spec, norm], in_memory=in_memory, num_workers=0)
    dls.train.rng = random.Random(3)
    return dls, norm


def test_batches_and_statistics_equal_those_of_an_ordinary_loader(df, made_up):
    (kept, kept_norm), (read, read_norm) = (loaders(df, made_up, in_memory) for in_memory in (True, False))
    assert torch.equal(kept_norm.mean, read_norm.mean) and torch.equal(kept_norm.std, read_norm.std)
    for split in ("train", "valid"):
        for _ in range(2):
            pairs = zip(getattr(kept, split), getattr(read, split), strict=True)
            for (x, y), (expected, label) in pairs:
                assert torch.equal(x, expected) and torch.equal(y, label)
                assert type(x) is type(expected) and type(y) is type(label) and x.settings == expected.settings


def test_each_file_is_read_once(df, made_up):
    reads = []

    def count(x: AudioTensor):
        reads.append(1)
        return x

    dls = get_dls(df, made_up, bs=8, item_tfms=count, in_memory=True)
    dls.train.one_batch()
    reads.clear()
    for _ in range(3):
        list(dls.train)
    assert len(reads) in (0, len(dls.train.dataset))


def test_batches_can_be_changed_in_place(df, made_up):
    dls = get_dls(df, made_up, bs=10, in_memory=True, shuffle_train=False)
    before = [x.clone() for x, _ in dls.valid]
    for x, _ in dls.valid:
        x.zero_()
    assert all(torch.equal(x, y) for (x, _), y in zip(dls.valid, before, strict=True))


def test_new_items_are_read_anew(df, made_up):
    dls = get_dls(df, made_up, bs=8, in_memory=True)
    dls.valid.one_batch()
    (x, *_), (expected, _) = dls.test_dl(df.iloc[:3]).one_batch(), dls.train.dataset[0]
    assert len(x) == 3 and x.shape[1:] == expected.shape


@pytest.mark.parametrize("tfm", [ActiveCrop(0.25), RandomSpeed(), AddNoise(), ResizeSignal(100)])
def test_random_item_transforms_are_refused(df, made_up, tfm):
    dls = get_dls(df, made_up, bs=8, item_tfms=tfm, in_memory=True)
    with pytest.raises(ValueError, match="Move them to the batch_tfms"):
        dls.train.one_batch()


def test_clips_of_different_length_are_refused(df, made_up):
    lengths = iter(range(100, 10000, 10))

    def shorten(x: AudioTensor):
        return x[..., : next(lengths)]

    dls = get_dls(df, made_up, bs=8, item_tfms=shorten, in_memory=True)
    with pytest.raises(ValueError, match="cut or pad them to one length"):
        dls.train.one_batch()
