"""`AudioBlock`: names of files, nested folders, and the interpretation of a learner."""

from pathlib import Path

import pandas as pd
import pytest
import soundfile
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader, IndexSplitter
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastaudio.core.config import AudioBlock, preprocess_audio_folder
from fastaudio.core.signal import AudioTensor, get_audio_files
from torch import nn

from fastaudio_norm.data import get_dls


class Energy(nn.Module):
    "A network whose output depends on the clip."

    def __init__(self, classes):
        super().__init__()
        self.linear = nn.Linear(1, classes)

    def forward(self, x):
        return self.linear(x.as_subclass(torch.Tensor).flatten(1).std(1, keepdim=True))


@pytest.fixture
def nested(tmp_path):
    "Four clips of 1 to 4 tenths of a second, three of them with the same name, in nested folders."
    source = tmp_path / "source"
    for i, name in enumerate(("a.wav", "cat/a.wav", "dog/old/a.wav", "dog/old/b.wav"), 1):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(source / name, torch.randn(1600 * i).numpy() * 0.1, 16000)
    return source


def loaders_of_table(df, folder):
    return get_dls(df, folder, bs=8, num_workers=0)


def label(item):
    return Path(item if isinstance(item, str | Path) else item.file).stem[-1]


def loaders_of_items(items, get_x=None):
    data = DataBlock((AudioBlock, CategoryBlock), splitter=IndexSplitter([0, 1]), get_x=get_x, get_y=label)
    return data.dataloaders(items, bs=2, num_workers=0)


def learner_of(dls):
    return Learner(dls, Energy(dls.c), loss_func=CrossEntropyLossFlat())


@pytest.mark.parametrize("items", ["table", "paths", "strings", "column of strings"])
def test_str_and_path_are_predicted_alike(items, df, made_up, mixed_folder):
    files = get_audio_files(mixed_folder)
    if items == "table":
        dls = loaders_of_table(df, made_up)
    elif items == "column of strings":
        dls = loaders_of_items(pd.DataFrame({"file": list(map(str, files))}), get_x=ColReader("file"))
    else:
        dls = loaders_of_items([str(file) for file in files] if items == "strings" else list(files))
    learn = learner_of(dls)
    file = max((made_up / "audio").iterdir())
    from_path, from_str = learn.predict(file), learn.predict(str(file))
    assert torch.equal(from_path[2], from_str[2]) and from_path[0] == from_str[0]
    batches = [dls.test_dl([kind(file), kind(files[0])], bs=1) for kind in (Path, str)]
    for (from_path,), (from_str,) in zip(*batches, strict=True):
        assert torch.equal(from_path, from_str) and type(from_str) is AudioTensor
    assert learn.predict(AudioTensor.create(file))[0] == learn.predict(file)[0]


def test_other_items_are_refused(mixed_folder):
    learn = learner_of(loaders_of_items(list(get_audio_files(mixed_folder))))
    with pytest.raises(AssertionError, match="Expected an input of type"):
        learn.predict(3)


@pytest.mark.parametrize("as_type", [Path, str])
def test_cache_of_a_nested_folder_has_the_same_layout(nested, as_type):
    block = AudioBlock.from_folder(as_type(nested), sample_rate=8000)
    [read] = block.type_tfms
    cache = nested.parent / "source_cached"
    files = get_audio_files(nested)
    assert len(files) == 4
    assert {f.relative_to(cache) for f in get_audio_files(cache)} == {f.relative_to(nested) for f in files}
    for file in files:
        assert read(as_type(file)).sr == 8000
        assert read(as_type(file)).nsamples == AudioTensor.create(file).nsamples / 2


def test_files_outside_the_cached_folder_are_read_themselves(nested, tmp_path):
    [read] = AudioBlock.from_folder(nested, sample_rate=8000).type_tfms
    other = tmp_path / "a.wav"  # the name of a cached file
    soundfile.write(other, torch.ones(700).numpy(), 16000)
    assert read(other).nsamples == 700 and read(other).sr == 16000
    later = nested / "cat" / "later.wav"
    soundfile.write(later, torch.ones(900).numpy(), 16000)
    assert read(later).nsamples == 900


def test_loaders_of_a_nested_folder(nested, monkeypatch):
    "The block finds cached files by absolute and by relative paths."
    monkeypatch.chdir(nested.parent)
    for folder in (nested, Path("source")):
        block = AudioBlock.from_folder(folder, sample_rate=8000, crop_signal_to=100)
        data = DataBlock((block, CategoryBlock), get_items=get_audio_files, get_y=lambda file: file.parent.name)
        x, _ = data.dataloaders(folder, bs=3, num_workers=0).one_batch()
        assert x.shape == (3, 1, 800) and x.sr == 8000
        assert block.type_tfms[0](folder / "cat" / "a.wav").sr == 8000


def test_block_of_a_flat_cache_folder(mixed_folder):
    "As in fastaudio, `AudioBlock(cache_folder)` looks files up by name."
    cache = preprocess_audio_folder(mixed_folder, sample_rate=8000)
    [read] = AudioBlock(cache).type_tfms
    for file in get_audio_files(mixed_folder):
        assert read(file).sr == read(str(file)).sr == 8000
