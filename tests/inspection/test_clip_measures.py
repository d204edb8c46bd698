"""`measure_clip`, compared with NumPy in float64 over the whole file; and constructed files."""

import warnings

import numpy as np
import pytest
import soundfile
import torch
from fastaudio.core.signal import AudioTensor  # noqa: F401  makes torchaudio importable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter, resample, resample_poly
from torchaudio.functional import resample as resample_with_torchaudio

from fastaudio_norm.audio import BadAudio
from fastaudio_norm.inspection import MEASURES, measure_clip
from fastaudio_norm.inspection.clip import FULL_SCALE, ClippedRuns

SMALL = 4096  # block size, so that files of a second have several blocks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


def write(folder, x, rate=16000, subtype="PCM_16", name="x.wav"):
    soundfile.write(folder / name, x, rate, subtype=subtype)
    return folder / name


def db(power):
    with np.errstate(divide="ignore"):
        return 10 * np.log10(power)


@given(
    seed=st.integers(0, 2**20),
    channels=st.integers(1, 3),
    rate=st.sampled_from([1000, 8000, 22050, 44100]),
    frames=st.integers(1, 20000),
    gain=st.floats(-100, 6),
    offset=st.floats(-0.5, 0.5),
    block=st.sampled_from([1, 8192, 2**18]),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_levels_equal_those_in_float64(folder, seed, channels, rate, frames, gain, offset, block):
    x = np.random.default_rng(seed).normal(offset, 10 ** (gain / 20), (frames, channels)).clip(-1, 1)
    x[: frames // 3] = 0
    file = write(folder, x, rate, "PCM_24")
    x, m = soundfile.read(file, always_2d=True)[0].astype(np.float32).astype(np.float64), measure_clip(file, block)
    assert (m["rate"], m["channels"], m["seconds"]) == (rate, channels, frames / rate)
    assert m["level"] == pytest.approx(db((x**2).mean()), abs=1e-9)
    assert m["peak"] == pytest.approx(db((x**2).max()), abs=1e-9)
    assert abs(m["offset"]) == pytest.approx(np.abs(x.mean(0)).max(), abs=1e-12)
    assert m["zeros"] == (x == 0).mean()
    window = max(1, round(0.02 * rate))
    parts = [x[i : i + window] for i in range(0, frames - window + 1, window)] or [x]
    levels = np.array([db((part**2).mean()) for part in parts])
    assert m["silent"] == pytest.approx((levels < -90).mean())
    if (levels >= -90).any():
        expected = np.quantile(levels[levels >= -90], 0.05, method="inverted_cdf")
        assert m["floor"] == pytest.approx(np.clip(expected, -120, 20.05), abs=0.0501)
    else:
        assert np.isnan(m["floor"])


@given(st.lists(st.sampled_from([1.0, 1.0, -1.0, FULL_SCALE, 0.99, 0.0]), max_size=40), st.integers(1, 7))
@settings(max_examples=300, deadline=None)
def test_clipped_runs_do_not_depend_on_the_blocks(values, size):
    x, runs = np.array([values, values[::-1]]).T.reshape(-1, 2), ClippedRuns(2)
    for start in range(0, len(x), size):
        runs.add(x[start : start + size])
    expected = 0
    for column in x.T:  # a loop over runs
        start = 0
        for i in range(1, len(column) + 1):
            signs = np.where(np.abs(column) >= FULL_SCALE, np.sign(column), 0)
            if i == len(column) or signs[i] != signs[start]:
                expected += (i - start) * (i - start >= 3 and signs[start] != 0)
                start = i
    assert runs.count == expected


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_clipped_sine_is_clipped_and_a_full_scale_sine_is_not(folder, subtype):
    sine = np.sin(2 * np.pi * 440.5 * np.arange(16000) / 16000)
    loud = np.clip(2 * sine, -1, 1)
    share = measure_clip(write(folder, loud, subtype=subtype), SMALL)["clipped"]
    assert share == pytest.approx((np.abs(loud) == 1).mean(), abs=0.01)
    m = measure_clip(write(folder, sine, subtype=subtype), SMALL)
    assert m["clipped"] == 0 and m["peak"] == pytest.approx(0, abs=0.01)
    assert m["level"] == pytest.approx(-3.01, abs=0.01)


def test_silence_survives_a_codec_and_a_quiet_clip_is_not_silent(folder):
    x = np.random.default_rng(0).normal(0, 0.1, 32000)
    x[16000:] = 0
    for name, how in {"x.wav": {"subtype": "PCM_16"}, "x.flac": {}, "x.ogg": {}}.items():
        soundfile.write(folder / name, x, 16000, **how)
        assert measure_clip(folder / name, SMALL)["silent"] == pytest.approx(0.5, abs=0.03), name
    quiet = measure_clip(write(folder, x[:16000] / 1000))
    assert quiet["silent"] == 0 and quiet["level"] == pytest.approx(-80, abs=0.2)
    zeros = measure_clip(write(folder, 0 * x))
    assert zeros["level"] == zeros["peak"] == -np.inf and zeros["silent"] == zeros["zeros"] == 1
    assert np.isnan(zeros["floor"]) and np.isnan(zeros["bandwidth"]) and zeros["samples"] == ""


def upsample(x, how, factor):
    n = len(x) * factor
    if how == "Fourier":
        return resample(x, n)
    if how == "polyphase":
        return resample_poly(x, factor, 1)
    rates = {"orig_freq": 1, "new_freq": factor, "lowpass_filter_width": 64}
    return resample_with_torchaudio(torch.tensor(x)[None], **rates)[0].numpy()


@pytest.mark.parametrize("how", ["Fourier", "polyphase", "torchaudio"])
@pytest.mark.parametrize("factor", [2, 3, 6])
def test_the_bandwidth_of_upsampled_recordings(folder, sounds, how, factor):
    for file in sorted((sounds / "audio").glob("*.ogg"))[::9]:
        x, rate = soundfile.read(file)
        upsampled = upsample(x, how, factor).clip(-1, 1)
        end = measure_clip(write(folder, upsampled, factor * rate))["bandwidth"]
        assert end == pytest.approx(rate / 2, rel=0.15), file.name


def test_recordings_noise_and_tones_over_noise_fill_the_band(folder, sounds):
    for file in sorted((sounds / "audio").glob("*.ogg"))[::4]:
        assert measure_clip(file)["bandwidth"] >= 0.92 * 8000, file.name
    rng = np.random.default_rng(0)
    white = rng.normal(0, 0.1, 32000)
    bird = 0.3 * np.sin(2 * np.pi * (3000 + 500 * np.sin(np.arange(32000) / 1000)) * np.arange(32000) / 16000)
    frequencies = np.fft.rfftfreq(32000, 1 / 16000)
    gain = np.interp(frequencies, [0, 200, 2000, 2600, 3800, 8000], [0, 0, -38, -60, -90, -92])
    helicopter = np.fft.irfft(np.fft.rfft(white) * 10 ** (gain / 20))  # falls steeply, but not at a cliff
    helicopter *= 0.15 / helicopter.std()
    for x in (
        helicopter,
        white,
        lfilter([0.1], [1, -0.98], white),
        lfilter([0.01], [1, -1.8, 0.81], white),
        bird + 0.01 * white,
    ):
        assert measure_clip(write(folder, x.clip(-1, 1), subtype="PCM_24"))["bandwidth"] == 8000


@given(frames=st.integers(1, 5000), channels=st.integers(1, 2))
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_clips_of_any_length_are_measured_without_warnings(folder, frames, channels):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        m = measure_clip(write(folder, np.full((frames, channels), 0.25)))
    assert m.keys() == MEASURES.keys() and m["level"] == pytest.approx(-12.04, abs=0.01)


def test_the_checksum_depends_on_the_samples_alone(folder):
    x = np.random.default_rng(0).normal(0, 0.1, 20000)
    x = soundfile.read(write(folder, x))[0]
    same = [
        measure_clip(write(folder, x), SMALL),
        measure_clip(write(folder, x, subtype="FLOAT")),
        measure_clip(write(folder, np.stack([x, x], 1))),
    ]
    soundfile.write(folder / "x.flac", x, 16000)
    same.append(measure_clip(folder / "x.flac"))
    assert len({m["samples"] for m in same}) == 1
    x[-1] += 2**-15
    assert measure_clip(write(folder, x))["samples"] != same[0]["samples"]


def test_unusable_files_are_refused(folder):
    (folder / "empty.wav").touch()
    with pytest.raises(BadAudio, match="is empty"):
        measure_clip(folder / "empty.wav")
