"""Differences that normalizations remove or preserve, and agreement with other libraries."""

import sys

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from fastai.torch_core import TensorImageBase
from fastaudio.core.signal import AudioTensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import firwin2
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from fastaudio_norm.audio import SPECS, cached_clips, make_spec
from fastaudio_norm.data import read_esc50
from fastaudio_norm.transforms import (
    PCEN,
    SPEC_NORMS,
    WAVE_NORMS,
    AudioNormalize,
    RelaxedFreqNormalize,
    SpecNormalize,
    whisper_stats,
)

SR = 16000
property_test = settings(max_examples=12, deadline=None, database=None, derandomize=True)
gains = st.floats(-60, 20)  # dB
seeds = st.integers(0, 2**31)
OF_CLIP = [name for name in SPEC_NORMS if name.startswith("local")] + ["sliding", "relaxed"]


def noise(seed, channels=1, seconds=1):
    "Coloured noise with a rising level, well above the floor of -100 dB."
    rng = torch.Generator().manual_seed(seed)
    clip = torch.randn(channels, round(SR * seconds), generator=rng).cumsum(-1)
    clip = clip - clip.mean(-1, keepdim=True) + torch.randn(clip.shape, generator=rng)
    return AudioTensor(clip / clip.abs().max() * torch.linspace(0.1, 1, clip.shape[-1]), sr=SR)


def plain(x):
    return x.as_subclass(torch.Tensor)


@pytest.fixture(scope="module")
def recorded(sounds):
    "Two clips of each class of ESC-10, by file name."
    df = read_esc50(sounds)
    return cached_clips(df.groupby("category").head(2), sounds)


def specs_of(clips, to_db=True):
    return torch.stack([plain(SPECS["mel"](to_db=to_db)(clip)) for clip in clips.values()])


# ---- what normalizations remove


@pytest.mark.parametrize("name", OF_CLIP)
@property_test
@given(seed=seeds, gain=gains)
def test_statistics_of_each_clip_undo_gain(name, seed, gain):
    norm, to_spec, clip = SPEC_NORMS[name].make(), SPECS["mel"](), noise(seed)
    louder = to_spec(clip * 10 ** (gain / 20))
    assert louder.min() > -99.9
    assert torch.allclose(plain(norm(louder)), plain(norm(to_spec(clip))), atol=1e-3)


@pytest.mark.parametrize("name", WAVE_NORMS)
@property_test
@given(seed=seeds, gain=gains)
def test_waveform_methods_undo_gain(name, seed, gain):
    norm, clip = WAVE_NORMS[name].make(), noise(seed, channels=2)
    expected = plain(norm(clip))
    assert torch.allclose(plain(norm(clip * 10 ** (gain / 20))), expected, atol=1e-3 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["local-channel", "local-channel-minmax", "local-channel-robust", "sliding"])
@property_test
@given(seed=seeds, gains=st.lists(gains, min_size=64, max_size=64))
def test_statistics_per_bin_undo_a_gain_per_bin(name, seed, gains):
    power = SPECS["mel"](to_db=False)(noise(seed))
    to_db = torchaudio.transforms.AmplitudeToDB()
    colour = 10 ** (torch.tensor(gains)[:, None] / 10)
    norm = SPEC_NORMS[name].make()
    coloured, expected = (plain(norm(TensorImageBase(to_db(plain(p))))) for p in (power * colour, power))
    assert torch.allclose(coloured, expected, atol=1e-3)


@pytest.mark.parametrize("name, left", [("none", 1.5), ("local", 1.2), ("local-channel", 0.1)])
def test_statistics_per_bin_nearly_undo_an_equalizer(name, left, recorded):
    "Filters of 33 taps and up to 12 dB, frames of 1,024 samples: RMS of the change, in standard deviations."
    norm = SPEC_NORMS[name].make() if name != "none" else lambda x: x
    to_spec, rng = SPECS["mel"](), np.random.default_rng(0)
    changes = []
    for clip in recorded.values():
        if (plain(clip) == 0).float().mean() > 0.01:
            continue  # digital silence passes any filter unchanged
        taps = torch.from_numpy(firwin2(33, np.linspace(0, 1, 6), 10 ** (rng.uniform(-12, 12, 6) / 20))).float()
        coloured = torch.nn.functional.conv1d(plain(clip)[None], taps[None, None], padding="same")[0]
        before, after = (plain(norm(to_spec(AudioTensor(x, sr=SR)))) for x in (plain(clip), coloured))
        changes.append(((after - before).square().mean().sqrt() / before.std()).item())
    print(f"{name}: {np.mean(changes):.3f} on average, {np.max(changes):.3f} at most, {len(changes)} clips")
    assert len(changes) > 5
    assert np.mean(changes) < left
    assert name == "local-channel" or np.mean(changes) > 0.25  # the others keep most of the equalizer


@pytest.mark.parametrize("name", [name for name in SPEC_NORMS if name.split("-")[0] in ("global", "channel")])
@property_test
@given(seed=seeds, gain=st.floats(1, 40))
def test_statistics_of_a_data_set_preserve_differences_of_level(name, seed, gain):
    norm = SPEC_NORMS[name].make()
    spread = torch.rand(1, 1, 64 if 1 in norm.axes else 1, 1) * 9 + 1
    norm = SpecNormalize(spread * -5, spread, norm.axes, norm.method)
    to_spec, clip = SPECS["mel"](), noise(seed)
    quiet, loud = (plain(norm(to_spec(x))) for x in (clip, clip * 10 ** (gain / 20)))
    assert torch.allclose((loud - quiet) * spread[0], torch.tensor(gain, dtype=torch.float32), atol=1e-2)


# ---- agreement with other libraries


@pytest.mark.parametrize("axes", [(2, 3), (3,)])
@pytest.mark.parametrize(
    "method, scaler", [("zscore", StandardScaler), ("minmax", MinMaxScaler), ("robust", RobustScaler)]
)
def test_statistics_of_each_clip_equal_scikit_learn_on_recordings(method, scaler, axes, recorded):
    specs = specs_of(recorded)
    found = SpecNormalize(axes=axes, method=method)(TensorImageBase(specs))
    for x, out in zip(specs[:, 0].double(), plain(found)[:, 0]):
        rows = x.T if axes == (3,) else x.reshape(-1, 1)
        expected = torch.from_numpy(scaler().fit_transform(rows))
        expected = expected.T if axes == (3,) else expected.view(x.shape)
        assert torch.allclose(out.double(), expected, atol=1e-4, rtol=1e-5)


def test_relaxed_normalization_equals_the_formula_on_recordings(recorded):
    specs = specs_of(recorded)
    x = specs.double()
    parts = [
        (x - x.mean(dims, keepdim=True)) / (x.var(dims, correction=0, keepdim=True) + 1e-5).sqrt()
        for dims in ((1, 2, 3), (1, 3))
    ]
    found = plain(RelaxedFreqNormalize(0.3)(TensorImageBase(specs))).double()
    assert torch.allclose(found, 0.3 * parts[0] + 0.7 * parts[1], atol=1e-4)


def test_pcen_equals_librosa_on_recordings(recorded):
    power = specs_of(recorded, to_db=False)
    scaled = power.double().numpy() * 2.0**62
    found = plain(PCEN(frame_rate=SR / 512)(TensorImageBase(power))).numpy()
    t = 0.4 * SR / 512
    b = (np.sqrt(1 + 4 * t**2) - 1) / (2 * t**2)
    expected = librosa.pcen(scaled, sr=SR, hop_length=512, zi=(1 - b) * scaled[..., :1])
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    audible = expected > 1e-6
    assert np.abs(found / np.where(audible, expected, 1) - 1)[audible].max() < 1e-4


def test_loudness_equals_torchaudio_on_recordings(recorded):
    for name, clip in recorded.items():
        out = plain(AudioNormalize("loudness", -35)(clip))
        if out.abs().max() <= 1:  # torchaudio's meter clips
            assert abs(torchaudio.functional.loudness(out, SR) + 35) < 0.1, name


@pytest.fixture
def restored_modules():
    "Remove the modules that SpeechBrain imports: some of them raise errors when other tests inspect them."
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_cmvn_per_clip_equals_speechbrain_on_recordings(recorded, restored_modules):
    features = pytest.importorskip("speechbrain.processing.features", reason="SpeechBrain is in the bench group only")
    specs = specs_of(recorded)
    theirs = features.InputNormalization(norm_type="sentence")
    frames_first = specs[:, 0].transpose(1, 2)
    expected = theirs(frames_first, torch.ones(len(specs))).transpose(1, 2)
    found = plain(SpecNormalize(axes=(3,))(TensorImageBase(specs)))[:, 0]
    varying = specs[:, 0].std(-1) > 1e-2  # SpeechBrain divides constant bins by a small number
    assert torch.allclose(found[varying], expected[varying], atol=1e-2, rtol=1e-3)


def test_whisper_stats_equal_whisper_on_recordings(recorded):
    "Whisper's audio.py takes log10, limits it to 8 below the maximum, adds 4 and divides by 4."
    mel = torchaudio.transforms.MelSpectrogram(SR, 400, hop_length=160, n_mels=80, mel_scale="slaney", norm="slaney")
    to_spec = make_spec("whisper")
    for clip in list(recorded.values())[:6]:
        padded = torch.nn.functional.pad(plain(clip).double(), (0, 30 * SR - clip.shape[-1]))
        log = mel.double()(padded)[..., :-1].clamp(min=1e-10).log10()
        expected = (log.maximum(log.max() - 8) + 4) / 4
        found = SpecNormalize.from_stats(whisper_stats)(to_spec(clip))
        assert torch.allclose(plain(found).double(), expected, atol=1e-4)
