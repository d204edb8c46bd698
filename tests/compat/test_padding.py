"""Loaders of clips of different lengths."""

import warnings

import pytest
from fastaudio.core.config import AudioBlock, AudioConfig
from fastaudio.core.signal import AudioTensor, get_audio_files
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToSpec

SR = 16000


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loaders_pad_clips_warn_once_and_preserve_metadata(mixed_folder, make_loaders, num_workers):
    to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024))
    with pytest.warns(UserWarning, match="padded with silence"):
        dls = make_loaders(AudioBlock, mixed_folder, num_workers=num_workers)
        dls.one_batch()  # reads in this process, where the warning can be caught
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a second warning would fail
        batches = [x for dl in dls for x, _ in dl]
    assert all(type(x) is AudioTensor and x.sr == SR and x.shape[1] == 1 for x in batches)
    block = AudioBlock(crop_signal_to=500)
    specs = make_loaders(block, mixed_folder, batch_tfms=to_spec, num_workers=num_workers)
    assert all(type(x) is AudioSpectrogram and x.n_mels == 32 for dl in specs for x, _ in dl)


def test_block_from_folder_caches_resampled_clips(mixed_folder, make_loaders):
    block = AudioBlock.from_folder(mixed_folder, sample_rate=8000, crop_signal_to=500)
    assert len(get_audio_files(mixed_folder.parent / f"{mixed_folder.name}_cached")) == 8
    x, _ = make_loaders(block, mixed_folder).one_batch()
    assert x.shape == (3, 1, 4000) and x.sr == 8000
