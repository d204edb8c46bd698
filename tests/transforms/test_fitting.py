"""Transforms in real loaders: fitting on the training split, decoding, and recorded sound."""

import pickle
import re

import numpy as np
import pytest
import soundfile
import torch
from fastai.callback.core import Callback, CancelBatchException, CancelValidException
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter
from fastai.vision.augment import RandTransform
from fastaudio.augment.signal import ChangeVolume
from fastaudio.core.config import AudioBlock, AudioConfig
from fastaudio.core.signal import AudioTensor, get_audio_files
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToSpec
from worker_functions import label_of

from fastaudio_norm.audio import cached_clips
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.measure import measure
from fastaudio_norm.train import StatsCallback, spec_learner
from fastaudio_norm.transforms import AudioNormalize, ShortTimeNormalize, SpecNormalize
from fastaudio_norm.transforms.fitting import training_clips

SR = 16000


def to_mel(n_mels=32):
    return AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=n_mels, n_fft=1024, hop_length=512))


@pytest.fixture
def folder(tmp_path):
    "Folder with a normal, a silent, a constant, a stereo and a 0.2 s clip, then four normal ones."
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(SR) * 0.1 for _ in range(9)]
    clips[1], clips[2] = np.zeros(SR), np.full(SR, 0.25)
    clips[3] = np.stack([clips[3], -0.5 * clips[3]], axis=1)
    clips[4] = clips[4][: SR // 5]
    for i, samples in enumerate(clips):
        soundfile.write(tmp_path / f"{i}-{'ab'[i % 2]}.wav", samples, SR)
    return tmp_path


def loaders(folder, item_tfms=(), batch_tfms=(), valid=(7, 8), **kwargs):
    block = DataBlock(
        blocks=(AudioBlock(crop_signal_to=1000), CategoryBlock),
        get_items=lambda path: sorted(get_audio_files(path)),
        get_y=label_of,
        splitter=IndexSplitter(list(valid)),
        item_tfms=list(item_tfms),
        batch_tfms=list(batch_tfms),
    )
    return block.dataloaders(folder, **{"bs": 4, "num_workers": 0, **kwargs})


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3), (2, 3), (3,)])
def test_spec_normalize_works_in_a_loader_and_no_clip_gives_nan(folder, axes, num_workers):
    raw = loaders(folder, batch_tfms=[to_mel()])
    wave = loaders(folder, [AudioNormalize], [to_mel()])
    both = loaders(folder, [AudioNormalize], [to_mel(), SpecNormalize(axes=axes)], num_workers=num_workers)
    values = [torch.cat([x for x, _ in dls.valid]) for dls in (raw, wave, both)]
    assert not torch.equal(values[0], values[1]) and not torch.equal(values[1], values[2])
    for dl in both:
        for x, _ in dl.new(drop_last=False, shuffle=False):
            assert x.isfinite().all()
    everything = torch.cat([x for x, _ in both.train.new(drop_last=False)])
    assert abs(everything.mean()) < 0.2 and 0.3 < everything.std() < 1.2


def test_a_bin_that_is_constant_over_the_data_set_becomes_zeros(folder):
    class Notch(RandTransform):
        split_idx = None

        def encodes(self, x: AudioSpectrogram):
            x[..., 5, :] = -100.0
            return x

    dls = loaders(folder, batch_tfms=[to_mel(), Notch(p=1.0), SpecNormalize(axes=(0, 1, 3))])
    for x, _ in dls.train:
        assert x.isfinite().all() and x[..., 5, :].abs().max() == 0


def test_fitting_ignores_random_augmentation_and_keeps_the_random_state(folder):
    norm, plain = SpecNormalize(), SpecNormalize()
    same_length = {"valid": (4, 7, 8)}  # ResizeSignal pads at random
    loaders(folder, batch_tfms=[to_mel(), plain], **same_length)
    augmented = loaders(folder, [ChangeVolume(p=1.0, lower=0.001, upper=0.002)], [to_mel(), norm], **same_length)
    assert torch.equal(norm.mean, plain.mean) and torch.equal(norm.std, plain.std)
    loud = (
        loaders(folder, batch_tfms=[to_mel()], **same_length).train.new(shuffle=False, drop_last=False).one_batch()[0]
    )
    quiet = norm.decode(augmented.train.new(shuffle=False, drop_last=False).one_batch()[0])
    assert quiet.median() < loud.median() - 40  # training batches are augmented

    def draws(*tfms):
        torch.manual_seed(3), np.random.seed(3)
        loaders(folder, batch_tfms=[to_mel(), *tfms])
        return torch.rand(1), np.random.rand()

    assert draws() == draws(SpecNormalize())


def test_validation_data_does_not_leak_into_statistics(folder):
    before, after = SpecNormalize(axes=(0, 1, 3)), SpecNormalize(axes=(0, 1, 3))
    loaders(folder, batch_tfms=[to_mel(), before])
    for i in (7, 8):
        soundfile.write(folder / f"{i}-{'ab'[i % 2]}.wav", np.random.default_rng(i).standard_normal(SR), SR)
    loaders(folder, batch_tfms=[to_mel(), after])
    assert torch.equal(before.mean, after.mean) and torch.equal(before.std, after.std)
    soundfile.write(folder / "6-a.wav", np.random.default_rng(6).standard_normal(SR), SR)
    changed = SpecNormalize(axes=(0, 1, 3))
    loaders(folder, batch_tfms=[to_mel(), changed])
    assert not torch.equal(before.mean, changed.mean)


def test_padding_is_not_counted(folder):
    "Statistics are those of the original frames, for clips of any length in any batch."
    to_spec = to_mel()
    norm = SpecNormalize(axes=(0, 1, 3))
    block = DataBlock(
        (AudioBlock, CategoryBlock),
        get_items=get_audio_files,
        get_y=label_of,
        splitter=IndexSplitter([0]),
        batch_tfms=[to_spec, norm],
    )
    with pytest.warns(UserWarning, match="padded"):
        list(block.dataloaders(folder, bs=4, num_workers=0).train)
    specs = [to_spec(AudioTensor.create(f).mean(0, keepdim=True)) for f in get_audio_files(folder)[1:]]
    frames = torch.cat([s.as_subclass(torch.Tensor) for s in specs], -1).double()
    assert torch.allclose(norm.mean.flatten(), frames.mean((0, 2)), rtol=1e-6)
    assert torch.allclose(norm.std.flatten(), frames.std((0, 2)), rtol=1e-6)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_clips_of_equal_length_are_read_in_batches(folder, num_workers):
    "Seven clips of 1 s and one of 0.2 s in two batches: each once, and the short one alone instead of padded."
    block = DataBlock(
        (AudioBlock, CategoryBlock),
        get_items=get_audio_files,
        get_y=label_of,
        splitter=IndexSplitter([0]),
        batch_tfms=[to_mel()],
    )
    train = block.dataloaders(folder, bs=4, num_workers=num_workers).train
    with training_clips(train) as clips:
        sizes = sorted((len(x), x.shape[-1]) for x, _ in clips)
    assert sizes == [(1, 7), (3, 32), (4, 32)]


def test_fitting_errors_name_the_training_item(folder):
    with pytest.raises(TypeError, match="No spectrogram.*AudioTensor.*AudioToSpec"):
        loaders(folder, batch_tfms=[SpecNormalize()])
    samples = np.random.default_rng(0).standard_normal(SR).astype(np.float32)
    samples[100] = np.nan
    soundfile.write(folder / "3-b.wav", samples, SR, subtype="FLOAT")
    with pytest.raises(ValueError, match=r"Training item \d.*3-b.wav.*not finite"):
        loaders(folder, batch_tfms=[to_mel(), SpecNormalize()])

    class Broken(RandTransform):
        split_idx = None

        def encodes(self, x: AudioSpectrogram):
            return x.no_such_thing()

    with pytest.raises(RuntimeError, match="no_such_thing"):  # fasttransform would swallow the AttributeError
        loaders(folder, batch_tfms=[to_mel(), Broken(p=1.0), SpecNormalize()], valid=(3,))


def test_validation_shares_the_statistics_and_show_batch_inverts_them(folder):
    norm = SpecNormalize()
    dls = loaders(folder, batch_tfms=[to_mel(), norm])
    assert dls.valid.after_batch.fs[-1] is norm is dls.train.after_batch.fs[-1]
    (spec, *_), *_ = dls.valid.show_batch(show=False)[2]
    raw = loaders(folder, batch_tfms=[to_mel()]).valid.one_batch()[0][0]
    assert torch.allclose(spec, raw, atol=1e-3)
    assert re.search(r"SpecNormalize\(axes=\(0, 2, 3\)\): mean -\d+", repr(dls.after_batch))


class _Skip(Callback):
    "Spare the network; the callback has seen the batch by then."

    order = 0

    def before_batch(self):
        raise CancelBatchException()

    def before_validate(self):
        raise CancelValidException()


@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3)])
def test_statistics_of_recorded_clips_equal_those_of_all_training_frames(sounds, axes):
    "SpecNormalize and StatsCallback for several batch sizes, against float64 over all training frames."
    df = read_esc50(sounds)
    clips = cached_clips(df, sounds)
    to_spec = to_mel(64)
    frames = torch.cat(
        [to_spec(clips[name].clone())[0].as_subclass(torch.Tensor) for name in df.filename[df.fold != 1]], 1
    ).double()
    dims = (0, 1) if axes == (0, 2, 3) else 1
    std, mean = (s.flatten() for s in torch.std_mean(frames, dims))
    for bs in (1, 7, 32):
        norm, stats = SpecNormalize(axes=axes), StatsCallback()
        get_dls(df, sounds, bs=bs, batch_tfms=[to_spec, norm], clips=clips, num_workers=0)
        gathering = get_dls(df, sounds, bs=bs, batch_tfms=[to_spec], clips=clips, num_workers=0, drop_last=False)
        learn = spec_learner(gathering, cbs=[stats, _Skip()])
        with learn.no_bar(), learn.no_logging():
            learn.fit(1)
        for found in (norm, stats.normalizers()[axes != (0, 2, 3)]):
            assert (found.mean.flatten() / mean - 1).abs().max() < 1e-6
            assert (found.std.flatten() / std - 1).abs().max() < 1e-6


@pytest.mark.parametrize("wave", [False, True])
def test_statistics_of_other_waveforms_are_refused_when_loaders_are_made(made_up, df, tmp_path, wave):
    spec = to_mel()
    measure(made_up, spec=spec, wave=wave, fraction=0.1).save(tmp_path / "stats.json")
    norm = pickle.loads(pickle.dumps(SpecNormalize.from_stats(tmp_path / "stats.json")))
    plain, standardized, others = [], [AudioNormalize()], [[AudioNormalize("peak")], [ShortTimeNormalize()]]
    right, wrong = (standardized, plain) if wave else (plain, standardized)
    get_dls(df, made_up, item_tfms=right, batch_tfms=[spec, norm], num_workers=0)
    for tfms in (wrong, *others):
        with pytest.raises(ValueError, match="were measured on waveforms .* but the loaders have"):
            get_dls(df, made_up, item_tfms=tfms, batch_tfms=[spec, norm], num_workers=0)
