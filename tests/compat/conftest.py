"""Fixtures of several tests of `compat`: a clip, its spectrogram, and a folder of files of different formats."""

import numpy as np
import pytest
import soundfile
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter
from fastaudio.core.config import AudioConfig
from fastaudio.core.signal import AudioTensor, get_audio_files
from fastaudio.core.spectrogram import AudioToSpec
from worker_functions import label_of

SR = 16000


@pytest.fixture
def clip():
    "A stereo clip of two seconds at 16 kHz, silent from 0.5 to 1.5 s."
    x = torch.randn(2, 2 * SR) * 0.1
    x[:, SR // 2 : 3 * SR // 2] = 0
    return AudioTensor(x, sr=SR)


@pytest.fixture
def spec(clip):
    return AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=64, n_fft=1024))(clip)


@pytest.fixture
def mixed_folder(tmp_path):
    "Eight files in four formats, stereo and mono, with different rates and lengths."
    for i in range(8):
        sr = (8000, 22050, 44100, 48000)[i % 4]
        samples = np.random.default_rng(i).standard_normal((sr + 100 * i, 1 + i % 2)) * 0.1
        soundfile.write(tmp_path / f"{i}-{'ab'[i % 2]}.{('wav', 'flac', 'ogg', 'mp3')[i // 2]}", samples, sr)
    return tmp_path


@pytest.fixture
def make_loaders():
    "Function that makes loaders of a folder; the class of a file is the part of its name after the hyphen."

    def make(block, folder, *, item_tfms=None, batch_tfms=None, valid=(0, 1), bs=3, num_workers=0):
        data = DataBlock(
            blocks=(block, CategoryBlock),
            get_items=get_audio_files,
            get_y=label_of,
            splitter=IndexSplitter(list(valid)),
            item_tfms=item_tfms,
            batch_tfms=batch_tfms,
        )
        return data.dataloaders(folder, bs=bs, num_workers=num_workers)

    return make
