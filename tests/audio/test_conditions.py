"""Each simulated condition changes what its name says, by its strength, and nothing else."""

import numpy as np
import pytest
import soundfile
import torch
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.audio import (
    Condition,
    make_condition,
    make_conditions,
    microphone_response,
    room_response,
)
from fastaudio_norm.names import DEFAULT_CONDITIONS

RATE = 16000
T = np.arange(2 * RATE) / RATE


def wave(x):
    return AudioTensor(torch.as_tensor(np.atleast_2d(x)).float(), sr=RATE)


def white(seed=0, level=0.1, channels=1):
    return wave(np.random.default_rng(seed).normal(0, level, (channels, len(T))))


def tone(hz, level=0.1):
    return wave(level * np.sin(2 * np.pi * hz * T))


def apply(name, x):
    return make_condition(name)(x, RATE)


def db(x):
    return 10 * np.log10(np.mean(np.asarray(x, np.float64) ** 2))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("name", DEFAULT_CONDITIONS)
def test_every_condition_keeps_shape_type_and_silence(name, channels):
    x = white(channels=channels)
    changed = apply(name, x)
    assert type(changed) is AudioTensor and changed.sr == x.sr and changed.shape == x.shape and changed.dtype == x.dtype
    assert not torch.equal(changed, x)
    silence = torch.zeros_like(x)
    assert apply(name, silence).abs().max() < 1e-6


@pytest.mark.parametrize("name", DEFAULT_CONDITIONS)
def test_a_clip_is_changed_in_the_same_way_in_any_order(name):
    a, b = white(1), white(2)
    first = apply(name, a), apply(name, b)
    condition = make_condition(name)
    later = condition(b, RATE), condition(a, RATE)
    assert torch.equal(first[0], later[1]) and torch.equal(first[1], later[0])


def test_another_seed_draws_another_microphone():
    x = white()
    assert not torch.equal(make_condition("microphone", seed=0)(x, RATE), make_condition("microphone", seed=1)(x, RATE))


@pytest.mark.parametrize("gain", [-20, -3.5, 10])
def test_gain(gain):
    x = white()
    assert db(apply(f"gain:{gain}", x)) - db(x) == pytest.approx(gain, abs=1e-4)


def test_random_gains_fill_their_range():
    gains = [db(apply("random-gain:20", x)) - db(x) for x in map(white, range(60))]
    assert -20 <= min(gains) < -15 and 15 < max(gains) <= 20


@pytest.mark.parametrize("snr", [-5, 0, 10, 20])
@pytest.mark.parametrize("name", ["noise", "hum", "hum60"])
def test_signal_to_noise_ratio_is_reached(name, snr):
    x = white(level=0.01)
    added = apply(f"{name}:{snr}", x) - x
    assert db(x) - db(added) == pytest.approx(snr, abs=0.1)


@pytest.mark.parametrize("name,hz", [("hum", 50), ("hum60", 60)])
def test_hum_consists_of_ten_harmonics(name, hz):
    x = white()
    spectrum = np.abs(np.fft.rfft(np.asarray(apply(f"{name}:0", x) - x)[0])) ** 2
    harmonics = [round(hz * k * len(T) / RATE) for k in range(1, 11)]
    assert spectrum[harmonics].sum() > 0.999 * spectrum.sum()


def test_noise_is_white():
    x = tone(1000)
    bands = np.abs(np.fft.rfft(np.asarray(apply("noise:0", x) - x)[0]))[:-1].reshape(8, -1)
    levels = 10 * np.log10((bands**2).mean(1))
    assert np.ptp(levels) < 1


def test_noise_of_a_clip_is_the_same_at_all_strengths():
    x = white()
    quiet, loud = (apply(f"noise:{snr}", x) - x for snr in (20, 0))
    assert torch.allclose(10 * quiet, loud, atol=1e-4)


def test_microphones_are_smooth_differ_and_preserve_the_power_of_white_noise():
    x = white()
    levels = [db(apply("microphone:12", x)) - db(x) for x in map(white, range(8))]
    assert np.abs(levels).max() < 0.5
    responses = [np.abs(np.fft.rfft(microphone_response(np.random.default_rng(i), RATE), 2**14)) for i in range(8)]
    for response in responses:
        octaves = 20 * np.log10(response[np.round(np.geomspace(60, 7900, 100) * 2**14 / RATE).astype(int)])
        assert np.abs(octaves).max() < 13 and np.ptp(octaves) > 3 and np.abs(np.diff(octaves)).max() < 6
    assert min(np.abs(a - b).max() for i, a in enumerate(responses) for b in responses[:i]) > 0.5
    lag = np.correlate(np.asarray(apply("microphone:12", x))[0], np.asarray(x)[0], "full").argmax() - len(T) + 1
    assert lag == 0


@pytest.mark.parametrize("hz,expected", [(300, -3), (3400, -3), (1000, 0), (100, -30), (7000, -30)])
def test_corners_of_the_telephone_band(hz, expected):
    x = tone(hz)
    attenuation = db(np.asarray(apply("telephone", x))[:, RATE:]) - db(np.asarray(x)[:, RATE:])
    assert attenuation < expected if expected == -30 else attenuation == pytest.approx(expected, abs=0.1)


def test_clicks_are_as_many_as_seconds_and_as_loud_as_the_peak():
    x = tone(200)
    clicks = np.asarray(apply("clicks:0", x) - x)[0]
    starts = np.flatnonzero((np.abs(clicks) > 0.0999) & (np.abs(np.roll(clicks, 1)) < 0.05))
    assert len(starts) == 2 and np.abs(clicks).max() == pytest.approx(0.1, abs=1e-3)
    assert (np.abs(clicks) > 1e-6).mean() < 0.02
    assert np.abs(np.asarray(apply("clicks:20", x) - x)).max() == pytest.approx(1.0, abs=1e-2)


def test_clipping_cuts_only_what_is_above_its_level():
    x = white()
    clipped, most = apply("clipping:12", x), float(x.abs().max()) * 10 ** (-12 / 20)
    assert torch.allclose(clipped, x.clamp(-most, most), atol=1e-7)


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.5])
def test_reverberation_decays_by_60_db_in_its_time(seconds):
    response = room_response(np.random.default_rng(0), RATE, seconds)
    tail = response[round(0.08 * RATE) :]  # after the early reflections
    remaining = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))
    part = (remaining < -5) & (remaining > -25)
    slope = np.polyfit(np.flatnonzero(part) / RATE, remaining[part], 1)[0]
    assert -60 / slope == pytest.approx(seconds, rel=0.15)
    assert response[0] == 1 and np.sum(response[1:] ** 2) == pytest.approx(1)


def test_nothing_sounds_before_its_cause():
    x = wave(np.where(T > 1, 0.1 * np.sin(2 * np.pi * 500 * T), 0))
    assert np.abs(np.asarray(apply("reverberation:0.6", x))[0, : RATE - 1]).max() < 1e-6


def test_resampling_removes_what_is_above_half_the_rate():
    for hz, expected in ((1000, 0), (3000, 0), (5000, -60)):
        x = tone(hz)
        attenuation = db(apply("rate:8000", x)[:, 2000:-2000]) - db(x)  # a tone's start and end are broadband
        assert attenuation < expected if expected else abs(attenuation) < 0.01
    x = tone(1000)
    assert torch.equal(apply("rate:16000", x), x)


@pytest.mark.parametrize("name", ["mp3:32", "mp3:16", "opus:12", "vorbis:0.9"])
def test_coding_is_audible_and_does_not_move_sounds(name):
    rng = np.random.default_rng(0)
    x = wave(sum(rng.normal() * 0.02 * np.sin(2 * np.pi * f * T) * (1 + np.sin(f * T)) for f in range(200, 3000, 137)))
    coded = apply(name, x)
    error = db(coded - x) - db(x)
    assert -60 < error < -3


def test_coding_at_a_lower_bit_rate_changes_more():
    x = white()
    errors = [db(apply(f"mp3:{kbits}", x) - x) for kbits in (16, 32, 96)]
    assert errors[0] > errors[1] > errors[2]


def test_loud_clips_are_coded_as_well():
    x = 50 * tone(440)
    assert db(apply("opus:32", x) - x) - db(x) < -10


def test_conditions_from_a_folder(tmp_path):
    impulse = np.zeros(800)
    impulse[[100, 300]] = 0.5, 0.25
    soundfile.write(tmp_path / "room.wav", impulse, RATE, subtype="FLOAT")
    x = white()
    changed = np.asarray(apply(f"impulses:{tmp_path}", x))[0]
    expected = np.asarray(x)[0] + 0.5 * np.r_[np.zeros(200), np.asarray(x)[0, :-200]]
    assert np.allclose(changed, expected / 1.25**0.5, atol=1e-5)
    added = apply(f"noises:5:{tmp_path}", x) - x
    assert db(x) - db(added) == pytest.approx(5, abs=0.1)
    assert db(x) - db(apply(f"noises:{tmp_path}", x) - x) == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    "name,message",
    [
        ("wind", "expected one of gain"),
        ("gain:loud", "must be a number in dB, got 'loud'"),
        ("telephone:3", "has no strength"),
        ("reverberation:-1", "must be positive"),
        ("noise:nan", "must be"),
        ("impulses", "needs a folder"),
        ("noises:5:nowhere", "no such folder"),
    ],
)
def test_unknown_names_and_strengths_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        make_condition(name)


@pytest.mark.parametrize("name,message", [("mp3:2", "8 to 160 kbit/s, got 2"), ("opus:900", "got 900")])
def test_impossible_bit_rates_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        apply(name, white())


@pytest.mark.parametrize("rate", [10000, 22050, 44100, 44101, 96000])
@pytest.mark.parametrize("name", ["mp3:64", "opus:64"])
def test_any_sample_rate_can_be_coded(name, rate):
    t = np.arange(rate) / rate
    x = wave(0.1 * sum(np.sin(2 * np.pi * hz * t) * np.exp(-5 * t) for hz in (300, 1000, 2900)))
    coded = make_condition(name)(x, rate)
    assert coded.shape == x.shape
    assert db(coded - x) - db(x) < -15  # the same sound at the same time


def test_own_functions_must_preserve_shape_and_be_finite():
    with pytest.raises(ValueError, match=r"shape \[1, 32000\], got shape \[1, 31999\]"):
        Condition("cut", lambda x, rate, rng: x[:, 1:])(white(), RATE)
    with pytest.raises(ValueError, match="got NaN"):
        Condition("break", lambda x, rate, rng: x / 0)(white() * 0, RATE)


def test_names_must_differ():
    with pytest.raises(ValueError, match="'noise:0' occurs twice"):
        make_conditions(["noise:0", "gain:10", "noise:0"])
