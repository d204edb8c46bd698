"""Transforms, by hand and through real loaders."""

import re
import warnings

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from fastai.callback.core import Callback, CancelBatchException, CancelValidException
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter
from fastai.torch_core import TensorCategory, TensorImage, TensorImageBase, TensorMask
from fastai.vision.augment import RandTransform
from fastaudio.augment.signal import ChangeVolume
from fastaudio.core.config import AudioBlock, AudioConfig
from fastaudio.core.signal import AudioTensor, get_audio_files
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToSpec
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from fastaudio_norm.audio.cache import cached_clips
from fastaudio_norm.audio.spectrograms import spec_settings
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.stats.recorder import StatsRecorder
from fastaudio_norm.train.callback import StatsCallback
from fastaudio_norm.train.learner import spec_learner
from fastaudio_norm.transforms.spectrogram import AudioNormalize, SpecNormalize

SR = 16000


def to_mel(n_mels=32):
    return AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=n_mels, n_fft=1024, hop_length=512))


# ---- waveforms


def test_audio_normalize():
    clip = AudioTensor(torch.randn(2, 1000) * torch.tensor([[0.1], [0.4]]) + 0.5, sr=SR)
    before = clip.clone()
    out = AudioNormalize()(clip)
    expected = before.double()
    expected = (expected - expected.mean()) / expected.std(correction=0)
    assert type(out) is AudioTensor and out.sr == SR and out.dtype == torch.float32
    assert torch.allclose(out.double(), expected, atol=1e-5)
    assert torch.equal(clip, before)
    assert torch.allclose(AudioNormalize()(torch.stack([clip, clip * 9]))[1], out, atol=1e-5)  # each clip by itself


@pytest.mark.parametrize(
    "clip", [torch.zeros(1, 500), torch.full((1, 500), 0.3), torch.full((2, 1), -0.7), torch.full((1, 80000), 1e-3)]
)
def test_clips_without_any_variation_become_zeros(clip):
    assert torch.equal(AudioNormalize()(AudioTensor(clip, sr=SR)), torch.zeros_like(clip))


def test_very_quiet_is_not_silent():
    clip = AudioTensor(torch.randn(1, 500) * 1e-6, sr=SR)
    assert abs(AudioNormalize()(clip).std(correction=0) - 1) < 1e-5


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_audio_normalize_refuses_what_is_not_finite(value):
    clip = AudioTensor(torch.randn(1, 500), sr=SR)
    clip[0, 7] = value
    with pytest.raises(ValueError, match=r"\[1, 500\].*NaN"):
        AudioNormalize()(clip)


def loud(seconds=1.0, channels=1, gain=0.1):
    t = torch.arange(round(SR * seconds)) / SR
    tones = torch.stack([torch.sin(2 * torch.pi * 300 * (c + 1) * t) for c in range(channels)])
    return AudioTensor((tones * (1 + torch.sin(6 * t)) + 0.2) * gain, sr=SR)


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("method, level", [("rms", None), ("rms", -6), ("peak", None), ("peak", -3), ("loudness", -30)])
def test_clips_come_to_their_level(method, level, per_channel):
    clip = loud(channels=2)
    clip[1] *= 0.1
    before = clip.clone()
    out = AudioNormalize(method, level, per_channel)(clip)
    assert type(out) is AudioTensor and out.sr == SR and torch.equal(clip, before)
    target = {"rms": -20, "peak": 0}[method] if level is None else level
    for part in out.as_subclass(torch.Tensor).split(1 if per_channel else 2):
        if method == "rms":
            assert abs(part.mean()) < 1e-6 and abs(20 * part.square().mean().sqrt().log10() - target) < 1e-3
        elif method == "peak":
            assert abs(20 * part.abs().max().log10() - target) < 1e-3
        else:
            assert abs(torchaudio.functional.loudness(part, SR) - target) < 0.1
    if not per_channel and method == "peak":
        assert torch.allclose(out / out.abs().max(), clip / clip.abs().max(), atol=1e-6)  # the channels' balance stays


@pytest.mark.parametrize("method", ["zscore", "rms", "peak", "loudness"])
@pytest.mark.parametrize("gain_db", [-60, -20, 20])
def test_any_gain_is_undone(method, gain_db):
    clip, norm = loud(), AudioNormalize(method)
    assert torch.allclose(norm(clip * 10 ** (gain_db / 20)), norm(clip), atol=1e-3 * float(norm(clip).abs().max()))


@pytest.mark.parametrize("method", ["rms", "peak", "loudness"])
def test_silence_stays_silent_and_what_is_not_finite_is_refused(method):
    silent = AudioTensor(torch.zeros(2, SR), sr=SR)
    assert torch.equal(AudioNormalize(method)(silent), silent)
    both = AudioNormalize(method)(torch.stack([silent, loud(channels=2)]))  # in a batch, too
    assert both.isfinite().all() and both[1].abs().max() > 0
    for bad in (torch.nan, torch.inf):
        clip = loud()
        clip[0, 5] = bad
        with pytest.raises(ValueError, match="NaN or infinite"):
            AudioNormalize(method)(clip)
    if method == "rms":  # which would divide by 1e39
        with pytest.raises(ValueError, match="too loud"):
            AudioNormalize(method)(AudioTensor(torch.tensor([[1e38, -1e38]]), sr=SR))


def test_loudness_of_a_short_clip_is_that_of_the_clip_repeated():
    short = loud(0.1)
    with pytest.warns(UserWarning, match="0.100 s is repeated"):
        out = AudioNormalize("loudness")(short)
    repeated = torch.cat([out.as_subclass(torch.Tensor)] * 5, 1)
    assert abs(torchaudio.functional.loudness(repeated, SR) + 23) < 0.1


def test_loudness_counts_pauses_as_the_standard_does(esc10):
    for name in ("1-100032-A-0.ogg", "1-17367-A-10.ogg", "1-26806-A-1.ogg"):
        clip = AudioTensor.create(esc10 / "audio" / name)
        out = AudioNormalize("loudness", -40)(clip).as_subclass(torch.Tensor)  # below full scale, where the meter clips
        assert abs(torchaudio.functional.loudness(out, clip.sr) + 40) < 0.1, name


@pytest.mark.parametrize("arguments", [("max",), ("zscore", -3)])
def test_wrong_methods_and_levels(arguments):
    with pytest.raises(ValueError, match="Unknown method 'max'|no level"):
        AudioNormalize(*arguments)


# ---- spectrograms, by hand


@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3), (2, 3), (3,), (1, 2, 3)])
@pytest.mark.parametrize("kind", [AudioSpectrogram, TensorImage, TensorImageBase])
def test_spec_normalize_equals_the_formula(axes, kind):
    x = kind(torch.randn(4, 2, 6, 50) * 20 - 60)
    std, mean = torch.std_mean(x.as_subclass(torch.Tensor).double(), axes, correction=0, keepdim=True)
    norm = SpecNormalize(mean, std, axes) if 0 in axes else SpecNormalize(axes=axes)
    before = x.clone()
    out = norm(x)
    assert type(out) is kind and torch.equal(x, before)
    expected = (before.as_subclass(torch.Tensor).double() - mean) / std
    assert torch.allclose(out.as_subclass(torch.Tensor).double(), expected, atol=1e-5)
    if 0 in axes:
        assert torch.allclose(norm.decode(out), before, atol=1e-4)
    item = norm(x[1])  # an item of the batch is normalized as in it
    assert item.shape == x.shape[1:] and torch.allclose(item, out[1], atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("axes", [(0, 2, 3), (2, 3)])
def test_dtype_stays(dtype, axes):
    x = (torch.randn(4, 1, 6, 50) * 20 - 60).to(dtype).as_subclass(TensorImageBase)
    norm = SpecNormalize(-60, 20) if 0 in axes else SpecNormalize(axes=axes)
    out = norm(x)
    assert out.dtype == dtype and abs(out.double().mean()) < 0.1 and abs(out.double().std() - 1) < 0.1


def test_values_without_spread_become_zeros():
    x = torch.randn(4, 1, 6, 50) * 20 - 60
    x[:, :, 2] = -100.0
    x[:, :, 4] = 1 / 3  # whose mean float64 cannot give exactly
    x = TensorImageBase(x)
    std, mean = torch.std_mean(x, (0, 1, 3), keepdim=True)
    for norm in (SpecNormalize(mean, std, axes=(0, 1, 3)), SpecNormalize(axes=(3,))):
        out = norm(x)
        assert out.isfinite().all() and out.abs().max() < 10
        assert out[:, :, [2, 4]].abs().max() < 1e-5
    assert torch.allclose(SpecNormalize(mean, std).decode(SpecNormalize(mean, std)(x)), x, atol=1e-4)


def test_masks_and_labels_are_left_alone():
    mask = TensorMask(torch.ones(2, 1, 6, 5))
    spec = TensorImageBase(torch.randn(2, 1, 6, 5))
    normalized, same_mask, label = SpecNormalize(0, 2)((spec, mask, TensorCategory(3)))
    assert torch.equal(same_mask, mask) and label == 3 and torch.allclose(normalized, spec / 2)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"axes": (0, 4)}, "axes"),
        ({"axes": ()}, "axes"),
        ({"mean": 1}, "both mean and std"),
        ({"mean": 1, "std": 2, "axes": (2, 3)}, "0 in axes"),
        ({"mean": 1, "std": -2}, "std must be"),
        ({"mean": torch.nan, "std": 2}, "finite"),
    ],
)
def test_nonsense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpecNormalize(**arguments)


def test_statistics_of_another_spectrogram_are_refused():
    norm = SpecNormalize(torch.zeros(1, 1, 201, 1), torch.ones(1, 1, 201, 1), axes=(0, 1, 3))
    with pytest.raises(ValueError, match=r"\[1, 1, 201, 1\] do not fit .*\[2, 1, 64, 5\]"):
        norm(TensorImageBase(torch.randn(2, 1, 64, 5)))
    with pytest.raises(ValueError, match=r"not \[201, 5\]"):
        norm(TensorImageBase(torch.randn(201, 5)))
    with pytest.raises(RuntimeError, match="not fitted"):
        SpecNormalize()(TensorImageBase(torch.randn(2, 1, 64, 5)))


SCALERS = {"zscore": StandardScaler, "minmax": MinMaxScaler, "robust": RobustScaler}


@pytest.mark.parametrize("method", SCALERS)
@pytest.mark.parametrize("axes", [(2, 3), (3,), (1, 3), (1, 2, 3)])
def test_each_clip_by_itself_is_what_scikit_learn_says(method, axes):
    x = torch.randn(3, 2, 4, 51) * torch.rand(3, 2, 4, 1) * 40 - 50
    kept = [d for d in (1, 2, 3) if d not in axes]
    expected = torch.empty_like(x)
    for clip, out in zip(x, expected):
        rows = clip.permute(*(d - 1 for d in axes), *(d - 1 for d in kept))
        scaled = SCALERS[method]().fit_transform(
            rows.reshape(-1, int(np.prod([clip.shape[d - 1] for d in kept]))).double()
        )
        inverse = np.argsort([d - 1 for d in (*axes, *kept)])
        out[:] = torch.from_numpy(scaled).view(rows.shape).permute(*inverse)
    norm = SpecNormalize(axes=axes, method=method)
    assert torch.allclose(norm(TensorImageBase(x)).as_subclass(torch.Tensor), expected, atol=1e-4)
    assert torch.allclose(norm(TensorImageBase(x[1])).as_subclass(torch.Tensor), expected[1], atol=1e-4)


@pytest.mark.parametrize("method", SCALERS)
def test_a_data_set_is_what_scikit_learn_says(method):
    x = torch.randn(9, 1, 6, 101) * torch.rand(6, 1) * 40 - 50
    recorder = StatsRecorder((0, 1, 3), correction=0, quantiles=True)
    for batch in x.split([4, 4, 1]):
        recorder.update(batch)
    norm = SpecNormalize.from_stats(recorder, axes=(0, 1, 3), method=method)
    rows = x.permute(0, 1, 3, 2).reshape(-1, 6)
    expected = torch.from_numpy(SCALERS[method]().fit_transform(rows.double())).view(9, 1, 101, 6).transpose(2, 3)
    found = norm(TensorImageBase(x)).as_subclass(torch.Tensor).double()
    # a quantile may be off by a cell, and numpy interpolates between two values
    within = 3 * recorder.quantile_error / recorder.iqr * (1 + expected.abs()) if method == "robust" else 1e-4
    assert ((found - expected).abs() <= within).all()
    assert torch.allclose(norm.decode(norm(TensorImageBase(x))).as_subclass(torch.Tensor), x, atol=1e-4)


def test_minmax_fills_the_range_that_it_is_given():
    x = TensorImageBase(torch.randn(4, 1, 6, 50))
    out = SpecNormalize(axes=(2, 3), method="minmax", feature_range=(-1, 3))(x)
    assert torch.allclose(out.amin((1, 2, 3)), torch.tensor(-1.0)) and torch.allclose(
        out.amax((1, 2, 3)), torch.tensor(3.0)
    )
    for wrong in ((1, 0), (0, 0), (0,)):
        with pytest.raises(ValueError, match="feature_range"):
            SpecNormalize(method="minmax", feature_range=wrong)


@pytest.mark.parametrize("method", SCALERS)
@pytest.mark.parametrize("axes", [(2, 3), (3,)])
@pytest.mark.parametrize("gain_db", [-40, 20])
def test_a_clips_own_statistics_undo_its_gain(method, axes, gain_db):
    to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=16, n_fft=1024, hop_length=512))
    clip = AudioTensor(torch.randn(1, SR), sr=SR)
    norm = SpecNormalize(axes=axes, method=method)
    near, far = (norm(to_spec(clip * gain)) for gain in (1.0, 10 ** (gain_db / 20)))
    assert torch.allclose(near, far, atol=1e-3)


@pytest.mark.parametrize("method", SCALERS)
@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3), (2, 3), (3,)])
def test_silence_and_constants_stay_finite(method, axes):
    x = torch.randn(3, 1, 4, 20)
    x[0] = -100.0
    x[:, :, 2] = 7.0
    recorder = StatsRecorder((0, 3), quantiles=True)
    recorder.update(x)
    norm = SpecNormalize(axes=axes, method=method)
    norm = SpecNormalize.from_stats(recorder, axes, method=method) if norm.of_dataset else norm
    for dtype in (torch.float32, torch.float16):
        assert norm(TensorImageBase(x.to(dtype))).isfinite().all()
    assert method in repr(norm) or method == "zscore"


def spectrogram_of(n_fft=1024, n_mels=8):
    to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=n_mels, n_fft=n_fft, hop_length=512))
    return to_spec(AudioTensor(torch.randn(4, 1, 8000), sr=SR))


@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3)])
def test_made_from_a_file_or_a_recorder(axes, tmp_path):
    spec = spectrogram_of()
    recorder = StatsRecorder((0, 3))
    recorder.update(spec, settings=spec_settings(spec))
    recorder.save(tmp_path / "stats.json")
    std, mean = torch.std_mean(spec.as_subclass(torch.Tensor).double(), axes, keepdim=True)
    for stats in (recorder, tmp_path / "stats.json", str(tmp_path / "stats.json")):
        norm = SpecNormalize.from_stats(stats, axes=axes)
        assert torch.allclose(norm.mean, mean) and torch.allclose(norm.std, std)
        assert torch.allclose(norm(spec).as_subclass(torch.Tensor), ((spec - mean) / std).float(), atol=1e-5)
    with pytest.raises(ValueError, match="cannot tell"):
        SpecNormalize.from_stats(recorder.reduced((0, 2, 3)), axes=(0, 1, 3))
    with pytest.raises(ValueError, match="statistics need 0"):
        SpecNormalize.from_stats(recorder, axes=(2, 3))


def test_a_spectrogram_made_with_other_settings_is_refused(tmp_path):
    recorder = StatsRecorder((0, 3))
    other = spectrogram_of(n_fft=1024)
    recorder.update(other, settings=spec_settings(other))
    recorder.save(tmp_path / "stats.json")
    norm, other = SpecNormalize.from_stats(tmp_path / "stats.json"), spectrogram_of(n_fft=512)
    for refuse in (norm, norm.decode, lambda spec: recorder.update(spec, settings=spec_settings(spec))):
        with pytest.raises(ValueError, match="n_fft=512 instead of 1024.*win_length=512 instead of 1024"):
            refuse(other)
    plain = TensorImageBase(torch.randn(4, 1, 8, 16))  # does not tell, so it cannot be refused
    assert norm(plain).shape == plain.shape
    assert recorder.settings["window_fn"] == "hann_window"


def test_the_wrong_type_warns():
    clip, spec = AudioTensor(torch.randn(1, 100), sr=SR), TensorImageBase(torch.randn(1, 1, 6, 5))
    for norm, x in [
        (SpecNormalize(0, 1), clip),
        (AudioNormalize(), spec),
        (SpecNormalize(0, 1), torch.randn(1, 1, 6, 5)),
    ]:
        with pytest.warns(UserWarning, match=f"{type(norm).__name__} has no effect on"):
            assert norm((x, TensorCategory(1)))[0] is x
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SpecNormalize(0, 2)((spec, TensorCategory(1)))


# ---- through loaders


def label(file):
    return file.stem.split("-")[1]


@pytest.fixture
def folder(tmp_path):
    "A normal, a silent, a constant, a stereo and a 0.2 s clip, then four normal ones."
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
        get_y=label,
        splitter=IndexSplitter(list(valid)),
        item_tfms=list(item_tfms),
        batch_tfms=list(batch_tfms),
    )
    return block.dataloaders(folder, **{"bs": 4, "num_workers": 0, **kwargs})


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3), (2, 3), (3,)])
def test_each_acts_in_a_loader_and_no_clip_gives_nan(folder, axes, num_workers):
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


def test_a_bin_constant_over_the_data_set_stays_finite(folder):
    class Notch(RandTransform):
        split_idx = None

        def encodes(self, x: AudioSpectrogram):
            x[..., 5, :] = -100.0
            return x

    dls = loaders(folder, batch_tfms=[to_mel(), Notch(p=1.0), SpecNormalize(axes=(0, 1, 3))])
    for x, _ in dls.train:
        assert x.isfinite().all() and x[..., 5, :].abs().max() == 0


def test_fitting_leaves_out_random_augmentation_and_the_random_state(folder):
    norm, plain = SpecNormalize(), SpecNormalize()
    same_length = {"valid": (4, 7, 8)}  # ResizeSignal pads at random
    loaders(folder, batch_tfms=[to_mel(), plain], **same_length)
    augmented = loaders(folder, [ChangeVolume(p=1.0, lower=0.001, upper=0.002)], [to_mel(), norm], **same_length)
    assert torch.equal(norm.mean, plain.mean) and torch.equal(norm.std, plain.std)
    loud = (
        loaders(folder, batch_tfms=[to_mel()], **same_length).train.new(shuffle=False, drop_last=False).one_batch()[0]
    )
    quiet = norm.decode(augmented.train.new(shuffle=False, drop_last=False).one_batch()[0])
    assert quiet.median() < loud.median() - 40  # while training they are augmented

    def draws(*tfms):
        torch.manual_seed(3), np.random.seed(3)
        loaders(folder, batch_tfms=[to_mel(), *tfms])
        return torch.rand(1), np.random.rand()

    assert draws() == draws(SpecNormalize())


def test_validation_does_not_leak(folder):
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
    "Clips of different length, whatever they share a batch with, have the statistics of their own frames."
    to_spec = to_mel()
    norm = SpecNormalize(axes=(0, 1, 3))
    block = DataBlock(
        (AudioBlock, CategoryBlock),
        get_items=get_audio_files,
        get_y=label,
        splitter=IndexSplitter([0]),
        batch_tfms=[to_spec, norm],
    )
    with pytest.warns(UserWarning, match="padded"):
        list(block.dataloaders(folder, bs=4, num_workers=0).train)
    specs = [to_spec(AudioTensor.create(f).mean(0, keepdim=True)) for f in get_audio_files(folder)[1:]]
    frames = torch.cat([s.as_subclass(torch.Tensor) for s in specs], -1).double()
    assert torch.allclose(norm.mean.flatten(), frames.mean((0, 2)), rtol=1e-6)
    assert torch.allclose(norm.std.flatten(), frames.std((0, 2)), rtol=1e-6)


def test_what_cannot_be_fitted_says_which_item(folder):
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

    with pytest.raises(RuntimeError, match="no_such_thing"):  # fasttransform swallows an AttributeError
        loaders(folder, batch_tfms=[to_mel(), Broken(p=1.0), SpecNormalize()], valid=(3,))


def test_statistics_are_shared_with_validation_and_show_batch_undoes_them(folder):
    norm = SpecNormalize()
    dls = loaders(folder, batch_tfms=[to_mel(), norm])
    assert dls.valid.after_batch.fs[-1] is norm is dls.train.after_batch.fs[-1]
    (spec, *_), *_ = dls.valid.show_batch(show=False)[2]
    raw = loaders(folder, batch_tfms=[to_mel()]).valid.one_batch()[0][0]
    assert torch.allclose(spec, raw, atol=1e-3)
    assert re.search(r"SpecNormalize\(axes=\(0, 2, 3\)\): mean -\d+", repr(dls.after_batch))


# ---- on recorded sound


class _Skip(Callback):
    "Spare the network; the callback has seen the batch by then."

    order = 0

    def before_batch(self):
        raise CancelBatchException()

    def before_validate(self):
        raise CancelValidException()


@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3)])
def test_fitted_on_esc10(esc10, axes):
    "SpecNormalize and StatsCallback, for any batch size, against float64 over all training frames."
    df = read_esc50(esc10)
    clips = cached_clips(df, esc10)
    to_spec = to_mel(64)
    frames = torch.cat(
        [to_spec(clips[name].clone())[0].as_subclass(torch.Tensor) for name in df.filename[df.fold != 1]], 1
    ).double()
    dims = (0, 1) if axes == (0, 2, 3) else 1
    std, mean = (s.flatten() for s in torch.std_mean(frames, dims))
    for bs in (1, 7, 64, 320):
        norm, stats = SpecNormalize(axes=axes), StatsCallback()
        get_dls(df, esc10, bs=bs, batch_tfms=[to_spec, norm], clips=clips, num_workers=0)
        gathering = get_dls(df, esc10, bs=bs, batch_tfms=[to_spec], clips=clips, num_workers=0, drop_last=False)
        learn = spec_learner(gathering, cbs=[stats, _Skip()])
        with learn.no_bar(), learn.no_logging():
            learn.fit(1)
        for found in (norm, stats.normalizers()[axes != (0, 2, 3)]):
            assert (found.mean.flatten() / mean - 1).abs().max() < 1e-6
            assert (found.std.flatten() / std - 1).abs().max() < 1e-6
