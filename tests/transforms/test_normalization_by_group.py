"""`SpecNormalize(group=...)` normalizes each clip like a plain `SpecNormalize` that was fitted on its group alone."""

import pickle
import random
import warnings

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from fastai.callback.progress import ProgressCallback  # noqa: F401  adds `no_bar`
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader, ColSplitter
from fastai.learner import Learner
from fastaudio.augment.preprocess import Resample
from fastaudio.augment.signal import DownmixMono, SignalShifter
from fastaudio.core.config import AudioBlock
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram
from scipy.signal import fftconvolve
from torch import nn

from fastaudio_norm.audio import SPECS, microphone_response
from fastaudio_norm.compat.groups import GroupedFile, with_group
from fastaudio_norm.data import GroupReader, get_dls
from fastaudio_norm.stats import GroupStats, StatsRecorder
from fastaudio_norm.transforms import SpecNormalize

SR, DEVICES = 8000, ("phone", "tablet", "watch")
AXES = [(0, 2, 3), (0, 1, 3)]
METHODS = ["zscore", "minmax", "robust"]


def record(rng, response, seconds=0.4):
    "Noise with a random level, as a device with this impulse response records it."
    noise = rng.standard_normal(round(SR * seconds)) * 10 ** rng.uniform(-2, -1)
    return fftconvolve(noise, response, mode="same")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("devices"), np.random.default_rng(0)
    responses = {name: microphone_response(rng, SR) for name in DEVICES}
    for i in range(36):
        clip = record(rng, responses[DEVICES[i % 3]], 0.4 if i < 30 else 0.3)
        soundfile.write(folder / f"{i:02}.wav", clip, SR, subtype="FLOAT")
    return folder


@pytest.fixture
def df():
    rows = [
        {"file": f"{i:02}.wav", "label": "ab"[i // 3 % 2], "fold": 2 + i % 2 if i < 27 else 1, "device": DEVICES[i % 3]}
        for i in range(30)
    ]
    return pd.DataFrame(rows)


def loaders(df, folder, *batch_tfms, **options):
    options = {"bs": 4, "num_workers": 0, "group": "device", "sample_rate": SR, **options}
    return get_dls(df, folder, fold=1, batch_tfms=[SPECS["mel"](rate=SR, n_fft=256, n_mels=16), *batch_tfms], **options)


def spectrograms(df, folder, split):
    "Spectrograms of a split in float64, and their devices."
    dl = getattr(loaders(df, folder), split).new(shuffle=False, drop_last=False)
    specs = torch.cat([x.as_subclass(torch.Tensor) for x, _ in dl]).double()
    rows = df[df.fold == 1] if split == "valid" else df[df.fold != 1]
    return specs, list(rows.device)


def reference(training, axes, method):
    "Location and scale, computed with NumPy in float64."
    x = training.numpy()
    if method == "zscore":
        return x.mean(axes, keepdims=True), x.std(axes, keepdims=True, ddof=1)
    if method == "minmax":
        return x.min(axes, keepdims=True), np.ptp(x, axes, keepdims=True)
    low, median, high = np.quantile(x, (0.25, 0.5, 0.75), axes, keepdims=True)
    return median, high - low


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("method", METHODS)
def test_each_clip_is_normalized_by_the_training_clips_of_its_device(axes, method, df, folder):
    "Validation clips do not count: the reference knows the training clips only."
    norm = SpecNormalize(axes=axes, method=method, group="device")
    dls = loaders(df, folder, norm)
    found = torch.cat([x.as_subclass(torch.Tensor) for x, _ in dls.valid]).double()
    training, names = spectrograms(df, folder, "train")
    specs, devices = spectrograms(df, folder, "valid")
    assert set(norm.groups) == set(names) == set(devices)
    for spec, out, device in zip(specs, found, devices):
        location, scale = reference(training[[name == device for name in names]], axes, method)
        tolerance = 0.02 if method == "robust" else 1e-4  # quantiles come from histograms
        np.testing.assert_allclose(out, (spec.numpy() - location[0]) / scale[0], atol=tolerance, rtol=tolerance)


def test_a_plain_transform_fitted_on_one_device_gives_the_same(df, folder):
    norm = SpecNormalize(axes=(0, 1, 3), group="device")
    loaders(df, folder, norm)
    for device in DEVICES:
        alone = SpecNormalize(axes=(0, 1, 3))
        loaders(df[df.device == device], folder, alone, group=None)
        torch.testing.assert_close(norm.groups[device], (alone.mean, alone.std), rtol=1e-9, atol=1e-9)
    plain = SpecNormalize(axes=(0, 1, 3))
    loaders(df, folder, plain, group=None)
    assert torch.equal(norm.mean, plain.mean) and torch.equal(norm.std, plain.std)


@pytest.fixture
def norm(df, folder):
    norm = SpecNormalize(axes=(0, 1, 3), group="device")
    loaders(df, folder, norm)
    return norm


def batch(df, folder):
    return loaders(df, folder, bs=24).train.new(shuffle=False).one_batch()[0]


def test_an_unknown_device_gets_the_pooled_statistics_and_one_warning(norm, df, folder):
    specs, pooled = batch(df, folder), SpecNormalize(norm.mean, norm.std, axes=(0, 1, 3))
    specs.groups = ("radio", *specs.groups[1:])
    with pytest.warns(UserWarning, match="No statistics of 'radio'.*'phone', 'tablet', 'watch'"):
        out = norm(specs)
    assert torch.equal(out[0], pooled(specs)[0]) and not torch.equal(out[1], pooled(specs)[1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(norm.decode(norm(specs)), specs, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_permuted_clips_give_permuted_results(seed, norm, df, folder):
    specs = batch(df, folder)
    order = np.random.default_rng(seed).permutation(len(specs)).tolist()
    assert torch.equal(norm(specs[order]), norm(specs)[order])
    assert torch.equal(norm.decode(norm(specs)[order]), norm.decode(norm(specs))[order])
    for i in order[:3]:
        assert torch.equal(norm(specs[i]), norm(specs)[i]), "a single item, without a batch dimension"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loaders_with_mixed_batches_and_workers(num_workers, norm, df, folder):
    df = df.sample(frac=1, random_state=0)
    names = dict(zip(df.file, df.device))
    expected = {}
    for file in df.file[df.fold == 1]:
        [x] = loaders(df, folder).test_dl([GroupedFile(folder / file, names[file])], bs=1).one_batch()
        expected[file] = norm(x)[0]
    found = torch.cat([x for x, _ in loaders(df, folder, norm, bs=2, num_workers=num_workers).valid])
    for file, out in zip(df.file[df.fold == 1], found, strict=True):
        torch.testing.assert_close(out, expected[file], atol=1e-4, rtol=1e-4)


def test_clips_in_memory_and_shuffled_batches(df, folder):
    random.seed(0)
    norm = SpecNormalize(axes=(0, 1, 3), group="device")
    dls = loaders(df, folder, norm, in_memory=True)
    plain = loaders(df, folder, in_memory=True)
    assert any(len(set(x.groups)) > 1 for x, _ in plain.train)
    every = torch.cat([x for x, _ in dls.train.new(shuffle=False, drop_last=False)])
    assert every.as_subclass(torch.Tensor).mean((0, 1, 3)).abs().max() < 1e-3


def test_padded_clips_of_different_length(folder, df):
    "The last six clips are shorter; the padding does not count."
    longer = pd.concat([df, df.iloc[:6].assign(file=[f"{i}.wav" for i in range(30, 36)])], ignore_index=True)
    norm = SpecNormalize(axes=(0, 1, 3), group="device")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A batch contains clips")
        dls = loaders(longer, folder, norm)
    recorders = {name: StatsRecorder((0, 1, 3)) for name in DEVICES}
    for x, _ in loaders(longer, folder, bs=1).train.new(shuffle=False):
        recorders[x.groups[0]].update(x)
    for name, recorder in recorders.items():
        torch.testing.assert_close(norm.groups[name], (recorder.mean, recorder.std), rtol=1e-6, atol=1e-6)
    assert len(dls.train_ds) == 33


def test_a_data_block_of_your_own(df, folder):
    norm = SpecNormalize(axes=(0, 1, 3), group="device")
    block = DataBlock(
        blocks=(AudioBlock, CategoryBlock),
        get_x=GroupReader(ColReader("file", pref=f"{folder}/"), "device"),
        get_y=ColReader("label"),
        splitter=ColSplitter("valid"),
        item_tfms=[Resample(SR // 2), DownmixMono(), SignalShifter(p=1)],
        batch_tfms=[SPECS["mel"](rate=SR // 2, n_fft=256, n_mels=16), norm],
    )
    df = df.assign(valid=df.fold == 1)
    dls = block.dataloaders(df, bs=5, num_workers=0)
    assert set(norm.groups) == set(DEVICES)
    for dl in (dls.valid, dls.test_dl(df[:5]), pickle.loads(pickle.dumps(dls)).valid):
        assert {name for batch in dl for name in batch[0].groups} <= set(DEVICES)
    dls.show_batch(max_n=2)


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(16, 2)

    def forward(self, x):
        return self.out(x.mean((1, 3)).as_subclass(torch.Tensor))


def test_a_learner_predicts_files_by_their_device(norm, df, folder, tmp_path):
    learn = Learner(loaders(df, folder, norm), Mean(), path=tmp_path)
    learn.export("model.pkl")
    file = folder / "00.wav"
    with learn.no_bar(), learn.no_logging():
        found = {name: learn.predict(GroupedFile(file, name))[2] for name in DEVICES}
        with pytest.raises(ValueError, match="name a single file by GroupedFile"):
            learn.predict(file)
        for device, expected in found.items():
            [x] = loaders(df, folder).test_dl([GroupedFile(file, device)]).one_batch()
            torch.testing.assert_close(learn.model(norm(x)).softmax(-1)[0], expected.as_subclass(torch.Tensor))
    assert len({tuple(p.tolist()) for p in found.values()}) == 3


def test_clips_that_lost_their_group_are_refused(norm, df, folder):
    specs = batch(df, folder)
    with pytest.raises(ValueError, match="this AudioSpectrogram does not know it. Create the loaders"):
        norm(AudioSpectrogram(torch.zeros(2, 1, 16, 9)))
    with pytest.raises(ValueError, match="has lost them: 'add' changed the batch"):
        norm(specs + specs.flip(0))
    specs.groups = ("phone", "tablet")
    with pytest.raises(ValueError, match="it has 2 for 24 clips"):
        norm(specs)
    with pytest.raises(ValueError, match="needs the group of each clip"):
        loaders(df, folder, SpecNormalize(group="device"), group=None)


def test_tables_without_groups_are_refused(df, folder):
    with pytest.raises(ValueError, match="lacks the column 'site'"):
        loaders(df, folder, group="site")
    df.loc[3, "device"] = None
    with pytest.raises(ValueError, match="1 of 30 clips lack a group in the column 'device': give them a name"):
        loaders(df, folder)
    for options in ({"group": "device", "axes": (3,)}, {"group": 3}):
        with pytest.raises(ValueError, match="`group` must be text"):
            SpecNormalize(**options)


def test_a_device_that_was_always_silent_gives_zeros_for_its_silence(folder, df, tmp_path):
    for file in df.file[df.device == "watch"]:
        soundfile.write(tmp_path / file, np.zeros(SR // 2), SR)
    for file in df.file[df.device != "watch"]:
        (tmp_path / file).symlink_to(folder / file)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A batch contains clips")
        dls = loaders(df, tmp_path, SpecNormalize(axes=(0, 1, 3), group="device"), bs=30)
        x, _ = dls.train.new(shuffle=False, drop_last=False).one_batch()
    assert x.isfinite().all()
    assert x[[name == "watch" for name in x.groups]].abs().max() == 0


def test_statistics_from_a_file_equal_fitted_ones(norm, df, folder, tmp_path):
    stats = GroupStats(StatsRecorder((0, 3), quantiles=True))
    for x, _ in loaders(df, folder).train.new(shuffle=False, drop_last=False):
        stats.update(x, x.groups, settings=None)
    stats.save(tmp_path / "stats.json")
    loaded = SpecNormalize.from_stats(tmp_path / "stats.json", axes=(0, 1, 3), group="device")
    specs = batch(df, folder)
    torch.testing.assert_close(loaded(specs), norm(specs), atol=1e-5, rtol=1e-5)
    pooled = SpecNormalize.from_stats(tmp_path / "stats.json", axes=(0, 1, 3))
    torch.testing.assert_close(pooled.mean, norm.mean)
    stats.pooled.save(tmp_path / "old.json")
    assert torch.equal(SpecNormalize.from_stats(tmp_path / "old.json", axes=(0, 1, 3)).mean, pooled.mean)
    for source in (tmp_path / "old.json", stats.pooled):
        with pytest.raises(ValueError, match="groups|GroupStats"):
            SpecNormalize.from_stats(source, axes=(0, 1, 3), group="device")


def test_an_added_device_is_normalized_by_its_own_clips(norm, df, folder):
    rng, recorder = np.random.default_rng(1), StatsRecorder((0, 3))
    response, to_spec = microphone_response(rng, SR), SPECS["mel"](rate=SR, n_fft=256, n_mels=16)
    clips = [AudioTensor(torch.tensor(record(rng, response)[None]).float(), sr=SR) for _ in range(8)]
    specs = torch.stack([to_spec(with_group(clip, "radio")) for clip in clips])
    recorder.update(specs)
    before = norm(batch(df, folder))
    norm.add_group("radio", recorder)
    assert "radio" in repr(norm) and torch.equal(norm(batch(df, folder)), before)
    out = norm(specs).as_subclass(torch.Tensor)
    assert out.mean((0, 1, 3)).abs().max() < 1e-4 and (out.std((0, 1, 3)) - 1).abs().max() < 1e-3
    with pytest.raises(ValueError, match="n_fft=512 instead of 256"):
        other = StatsRecorder((0, 3), settings={"n_fft": 512})
        other.update(specs)
        norm.add_group("radio", other)
    with pytest.raises(ValueError, match="does not have statistics of groups"):
        SpecNormalize(0, 1).add_group("radio", recorder)
