"""In a batch of clips of different lengths, each clip is normalized as if it were alone."""

import random
import warnings
from functools import partial

import numpy as np
import pytest
import soundfile
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.learner import Learner
from fastaudio.augment.preprocess import RemoveSilence, Resample
from fastaudio.augment.signal import AddNoise, AddNoiseGPU, ChangeVolumeGPU, DownmixMono, ResizeSignal, SignalLossGPU
from fastaudio.augment.spectrogram import TfmResizeGPU
from fastaudio.core.config import AudioBlock
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioToMFCC
from fasttransform.transform import Pipeline
from torch import nn
from worker_functions import label_of

from fastaudio_norm.audio import SPECS, ActiveCrop, RandomSpeed, SpecAugment
from fastaudio_norm.names import FRONT_END_NAMES
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.train import StatsCallback
from fastaudio_norm.transforms import (
    PCEN,
    SPEC_NORMS,
    WAVE_NORMS,
    AudioNormalize,
    ShortTimeNormalize,
    SlidingNormalize,
    SpecNormalize,
)

SR = 16000
LENGTHS = [16000, 9001, 12800, 9001, 15999, 4000, 700, 8192]  # samples; the padding of one clip is a single sample

WAVES = {f"{name} waveform": norm.make for name, norm in WAVE_NORMS.items()} | {
    "rms per channel": partial(AudioNormalize, "rms", per_channel=True),
    "short-time, longer than some clips": partial(ShortTimeNormalize, 0.3),
}
SPECTROGRAMS = {name: norm.make for name, norm in SPEC_NORMS.items()} | {
    "per bin, channels pooled": partial(SpecNormalize, axes=(1, 3)),
    "robust over channels": partial(SpecNormalize, axes=(1, 2, 3), method="robust"),
    "min-max to (-1, 1)": partial(SpecNormalize, axes=(3,), method="minmax", feature_range=(-1, 1)),
    "sliding, causal": partial(SlidingNormalize, 10, center=False, min_window=5),
    "sliding, means only": partial(SlidingNormalize, 7, norm_vars=False),
}
OF_CLIPS = {name: make for name, make in SPECTROGRAMS.items() if not make().of_dataset}


@pytest.fixture(scope="module", params=[1, 2], ids=["mono", "stereo"])
def clips(request):
    "Eight noises with an offset, whose levels and channels differ."
    channels, rng = request.param, torch.Generator().manual_seed(request.param)
    return [
        AudioTensor(torch.randn(channels, n, generator=rng) * torch.rand(channels, 1, generator=rng) + 0.05, sr=SR)
        for n in LENGTHS
    ]


def batch_of(clips):
    "A batch as a `DataLoader` makes it."
    dl = AudioBlock().dls_kwargs["before_batch"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the padding
        return torch.stack([clip for (clip,) in dl([(clip.clone(),) for clip in clips])])


def check_each_clip(tfms, clips, atol=1e-5):
    "Apply transforms to a batch and to each clip alone; compare the clips and require zeros behind them."
    whole = Pipeline(tfms)(batch_of(clips)).as_subclass(torch.Tensor)
    for clip, found in zip(clips, whole):
        alone = Pipeline(tfms)(clip.clone()[None])[0].as_subclass(torch.Tensor)
        torch.testing.assert_close(found[..., : alone.shape[-1]], alone, atol=atol, rtol=1e-5)
        assert not found[..., alone.shape[-1] :].any()


@pytest.mark.parametrize("name", WAVES)
@pytest.mark.filterwarnings("ignore:Loudness needs")
def test_waveforms_are_normalized_without_their_padding(name, clips):
    check_each_clip([WAVES[name]()], clips)


@pytest.mark.parametrize("spec", [name for name in SPECS if name not in FRONT_END_NAMES])
@pytest.mark.parametrize("name", OF_CLIPS)
def test_spectrograms_are_normalized_without_their_padding(name, spec, clips):
    check_each_clip([SPECS[spec](to_db=name != "pcen"), OF_CLIPS[name]()], clips)


@pytest.mark.parametrize(
    "first", [ChangeVolumeGPU(p=0), DownmixMono(), Resample(8000), RemoveSilence(), AudioNormalize()]
)
def test_lengths_survive_transforms_of_waveforms(first, clips):
    norms = [SlidingNormalize(9), SpecNormalize(axes=(3,)), SpecNormalize(axes=(2, 3), method="robust")]
    long_enough = [clip for clip in clips if clip.nsamples > 1000]
    check_each_clip([first, SPECS["mel"](), *norms], long_enough, atol=1e-4)


def test_random_transforms_are_applied_without_the_padding(clips):
    batch = batch_of(clips)
    for tfm in (AddNoise(p=1), AddNoiseGPU(), SignalLossGPU(p=1)):
        assert tfm(batch.clone(), split_idx=0).lengths == batch.lengths == tuple(LENGTHS)
    faster = RandomSpeed((1.25,))(batch, split_idx=0)
    assert faster.lengths == tuple(-(-n * 4 // 5) for n in LENGTHS)
    for tfm in (ActiveCrop(0.2), ResizeSignal(200)):
        cropped = tfm(batch.clone(), split_idx=1)
        assert cropped.shape[-1] == 3200 and "lengths" not in vars(cropped)
    for clip, found in zip(clips, ActiveCrop(0.2)(batch, split_idx=1)):
        torch.testing.assert_close(found, ActiveCrop(0.2)(clip, split_idx=1))


def test_the_mean_that_masks_take_leaves_out_the_padding(clips):
    specs = SPECS["mel"]()(batch_of(clips))
    masked = SpecAugment(n_freq=1, max_freq=64, n_time=0, value=None)(specs, split_idx=0)
    for n, spec, found in zip(specs.lengths, specs, masked):
        changed = found[..., :n] != spec[..., :n]
        torch.testing.assert_close(found[..., :n][changed], spec[..., :n].mean().expand(int(changed.sum())))


def test_mfccs_are_those_of_the_clip_alone(clips):
    mfcc = AudioToMFCC(n_mfcc=13, melkwargs={"n_fft": 512, "n_mels": 32})
    check_each_clip([mfcc, SpecNormalize(axes=(3,))], clips, 1e-4)


@pytest.mark.parametrize("lose", [lambda x: x.flip(-1), lambda x: x[6], lambda x: torch.cat([x, x])])
@pytest.mark.parametrize("norm", [AudioNormalize(), ShortTimeNormalize(0.1), SpecNormalize(axes=(3,)), PCEN()])
def test_lost_lengths_are_reported(lose, norm, clips):
    steps = [] if norm.input_type is AudioTensor else [SPECS["mel"](to_db=not isinstance(norm, PCEN))]
    for when in range(len(steps) + 1):
        x = Pipeline(steps[when:])(lose(Pipeline(steps[:when])(batch_of(clips))))
        with pytest.warns(UserWarning, match="counts the padding of this batch"):
            out = norm(x)
        torch.testing.assert_close(out.as_subclass(torch.Tensor), norm(without_lengths(x)).as_subclass(torch.Tensor))


def without_lengths(x):
    vars(x).pop("lengths")
    return x


def test_resized_spectrograms_are_reported(clips):
    with pytest.warns(UserWarning, match="'interpolate' changed the batch"):
        Pipeline([SPECS["mel"](), TfmResizeGPU((64, 20)), SpecNormalize(axes=(3,))])(batch_of(clips))


def test_batches_without_padding_have_no_lengths(clips):
    specs = SPECS["mel"]()(batch_of([clips[0], clips[0]]))
    assert "lengths" not in vars(specs)
    check_each_clip([SPECS["mel"](), SpecNormalize(axes=(3,))], [clips[0]] * 2)


def test_statistics_of_a_data_set_normalize_padding_as_silence(clips):
    norm = SpecNormalize(-40, 20)
    out = norm(SPECS["mel"]()(batch_of(clips)))
    assert (out[6, ..., 2:] == -3).all()
    torch.testing.assert_close(norm.decode(out)[6, ..., 2:], torch.full_like(out[6, ..., 2:], -100.0))


def test_speechbrain_gives_the_same(clips):
    "Its standard deviation is the same, of all frames without padding."
    features = pytest.importorskip("speechbrain.processing.features")
    specs = SPECS["mel"]()(batch_of(clips))
    found = SpecNormalize(axes=(3,))(specs).as_subclass(torch.Tensor)
    relative = torch.tensor(specs.lengths) / specs.shape[-1]
    theirs = features.InputNormalization(norm_type="sentence", avoid_padding_norm=True)
    for channel in range(specs.shape[1]):
        expected = theirs(specs[:, channel].as_subclass(torch.Tensor).transpose(1, 2), relative).transpose(1, 2)
        for n, ours, other in zip(specs.lengths, found[:, channel], expected):
            torch.testing.assert_close(ours[:, :n], other[:, :n], atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lengths")
    rng = np.random.default_rng(0)
    for i, n in enumerate(LENGTHS * 2):
        file, clip = folder / f"{i:02}-{'ab'[i % 2]}.wav", rng.standard_normal(n) * 0.1 / (i + 1)
        soundfile.write(file, clip, SR, subtype="FLOAT")
    return folder


def loaders(folder, *batch_tfms, bs=4, num_workers=0):
    block = DataBlock(
        blocks=(AudioBlock, CategoryBlock),
        get_y=label_of,
        splitter=lambda items: (range(8), range(8, 16)),
        batch_tfms=batch_tfms,
    )
    return block.dataloaders(sorted(folder.iterdir()), bs=bs, num_workers=num_workers)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.filterwarnings("ignore:A batch contains clips")
def test_loaders_normalize_each_clip_alone(num_workers, folder):
    tfms = [AudioNormalize(), SPECS["mel"](), SpecNormalize(axes=(3,), method="robust"), SlidingNormalize(11)]
    found = [spec for x, _ in loaders(folder, *tfms, num_workers=num_workers).valid for spec in x]
    alone = [spec for x, _ in loaders(folder, *tfms, bs=1).valid for spec in x]
    for batched, spec in zip(found, alone, strict=True):
        torch.testing.assert_close(batched[..., : spec.shape[-1]], spec, atol=1e-5, rtol=1e-5)


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(1, 2)

    def forward(self, x):
        return self.out(x.mean((1, 2, 3))[:, None].as_subclass(torch.Tensor))


@pytest.mark.filterwarnings("ignore:A batch contains clips")
def test_recorded_statistics_leave_out_the_padding(folder):
    "`StatsCallback` sees padded batches in random order; `SpecNormalize` fits itself on clips without padding."
    random.seed(0)
    callback, norm = StatsCallback([StatsRecorder((0, 1, 3), quantiles=True)]), SpecNormalize(axes=(0, 1, 3))
    learn = Learner(loaders(folder, SPECS["mel"]()), Mean(), cbs=callback)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    loaders(folder, SPECS["mel"](), norm)
    torch.testing.assert_close(callback.recorders[0].mean, norm.mean, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(callback.recorders[0].std, norm.std, atol=1e-4, rtol=1e-5)
    assert callback.recorders[0].min.min() > -90, "the padding has -100 dB"
