"""Files whose header lacks their length: streams as MP3 and FLAC."""

import numpy as np
import pytest
import soundfile

from fastaudio_norm.audio import BadAudio, open_audio
from fastaudio_norm.compat.audio_io import load_audio


def fading_noise(rate, channels, seconds=2.0):
    "Noise that is loud at first, so that the first frame of variable bit rate is far larger than the others."
    rng = np.random.default_rng(rate)
    samples = round(seconds * rate)
    return rng.normal(0, 0.1, (samples, channels)) * np.where(np.arange(samples) < samples // 4, 1, 1e-3)[:, None]


def write_mp3_without_length(file, samples, rate, mode):
    "Write an MP3 file, and remove its first frame, which contains the length. Return what a decoder reads with it."
    soundfile.write(file, samples, rate, bitrate_mode=mode, compression_level=0.3)
    content, whole = file.read_bytes(), soundfile.read(file, dtype="float32", always_2d=True)[0]
    at = content.index(content[:2], 40)
    while (content[at + 2] ^ content[2]) & 0x0C:
        at = content.index(content[:2], at + 1)
    file.write_bytes(content[at:])
    return whole


def read(file):
    with open_audio(file) as audio:
        return audio.read()


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate, channels", [(8000, 1), (16000, 2), (22050, 1), (44100, 2), (48000, 1)])
def test_all_samples_of_an_mp3_file_without_length_are_read(rate, channels, mode, tmp_path):
    file = tmp_path / "stream.mp3"
    whole = write_mp3_without_length(file, fading_noise(rate, channels), rate, mode)
    found, delay = read(file), 576  # samples that the encoder had put in front, as only the removed frame says
    assert len(whole) + delay <= len(found) < len(whole) + delay + 3 * 1152
    np.testing.assert_allclose(found[delay : delay + len(whole)], whole, atol=1e-6)
    np.testing.assert_array_equal(load_audio(file)[0].T, found)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize(
    "change",
    [
        lambda mp3: mp3 + b"TAG" + b"x" * 125,
        lambda mp3: mp3 + b"APETAGEX" + bytes(3000),
        lambda mp3: mp3 + bytes(100_000),
        lambda mp3: b"ID3\4\0\0\0\0\2\0" + b"\xff\xf3\x98\xc4" * 64 + mp3,  # an image may look like a frame
    ],
)
def test_tags_and_zeros_around_an_mp3_stream_change_nothing(change, mode, tmp_path):
    file = tmp_path / "stream.mp3"
    write_mp3_without_length(file, fading_noise(16000, 1), 16000, mode)
    expected = read(file)
    file.write_bytes(change(file.read_bytes()))
    np.testing.assert_array_equal(read(file), expected)


def remove_length(file):
    content = bytearray(file.read_bytes())
    content[21:26] = bytes([content[21] & 0xF0, 0, 0, 0, 0])
    file.write_bytes(content)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize(
    "rate, channels, samples", [(8000, 1, 1), (16000, 2, 4096), (44100, 1, 60_000), (48_123, 2, 9)]
)
def test_a_flac_file_without_length_equals_the_file_with_it(rate, channels, samples, subtype, tmp_path):
    file = tmp_path / "stream.flac"
    soundfile.write(file, np.resize(fading_noise(rate, channels), (samples, channels)), rate, subtype)
    expected = read(file)
    remove_length(file)
    content = file.read_bytes()
    np.testing.assert_array_equal(read(file), expected)
    np.testing.assert_array_equal(load_audio(file)[0].T, expected)
    assert file.read_bytes() == content


def test_frames_of_another_sample_rate_end_the_search_for_frames(tmp_path):
    file, other = tmp_path / "stream.mp3", tmp_path / "other.mp3"
    write_mp3_without_length(file, fading_noise(16000, 1), 16000, "CONSTANT")
    write_mp3_without_length(other, fading_noise(24000, 1), 24000, "CONSTANT")
    file.write_bytes(file.read_bytes() + other.read_bytes())  # searched endlessly
    with open_audio(file) as audio:
        assert len(audio.read()) >= 32000


def test_a_truncated_flac_file_without_length_is_refused(tmp_path):
    file = tmp_path / "stream.flac"
    soundfile.write(file, fading_noise(16000, 1), 16000)
    remove_length(file)
    content = file.read_bytes()
    for end in np.linspace(50, len(content) - 1, 12).astype(int):
        file.write_bytes(content[:end])
        with pytest.raises(BadAudio, match="lost sync|cannot be decoded|truncated|not contain its length"):
            read(file)
