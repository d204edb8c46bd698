"""Reading audio files: usable files are read, and unusable files are reported with a reason."""

import os
import re

import numpy as np
import pytest
import soundfile

from fastaudio_norm.audio.files import BadAudio, as_bad_audio, check_files, open_audio, printable_path, read_clip


def test_each_file_is_read_or_reported_with_its_reason(corpus, ordinary_user):
    folder, expected, _ = corpus
    with ordinary_user():
        for name, reason in expected.items():
            try:
                clip = read_clip(folder / "audio" / name, 16000)
                found = "1 sample is too few" if clip.nsamples == 1 else None  # too few for a spectrogram
                if not found:
                    assert clip.shape == (1, 320000 if name == "good.ogg" else 16000) and clip.sr == 16000
            except BadAudio as e:
                found = e.reason
                assert printable_path(name) in str(e) and str(e).isprintable()
            assert (found is None) == (reason is None), (name, found)
            assert reason is None or re.search(reason, found), (name, found)
        good_headers = {file.name for file in check_files(list((folder / "audio").iterdir()), "skip")[0]}
    bad_samples = {"cut good.flac", "cut good.mp3", "NaN.wav", "infinite.wav", "huge.wav", "minus huge.wav"}
    assert good_headers == {name for name, why in expected.items() if not why} | bad_samples | {"one sample.wav"}


def test_file_that_shrinks_while_it_is_read_is_truncated(tmp_path, monkeypatch):
    file = tmp_path / "shrinks.wav"
    soundfile.write(file, np.zeros(100_000), 16000)
    read = soundfile.SoundFile.read

    def shrink_and_read(self, *args, **kwargs):
        os.truncate(file, 10_000)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", shrink_and_read)
    with pytest.raises(BadAudio, match="truncated: 4,978 of 100,000 samples are present"):
        read_clip(file, 16000)


def test_file_too_long_for_the_memory_is_reported(tmp_path):
    file = tmp_path / "week.wav"
    soundfile.write(file, np.zeros(100), 16000, format="RF64")
    header = bytearray(file.read_bytes())
    size = 2**40
    for where, number in ((20, size + 72), (28, size), (36, size // 2)):  # ds64: file size, data size, samples
        header[where : where + 8] = number.to_bytes(8, "little")
    file.write_bytes(header)
    os.truncate(file, size + 80)  # a sparse file, which takes no space on the disk
    with pytest.raises(BadAudio, match="too long for the memory: 2,048 GiB when decoded"):
        with open_audio(file):
            pass


def test_unknown_policies_and_folders_without_usable_files_raise(tmp_path):
    with pytest.raises(ValueError, match='`on_error` must be "stop" or "skip", got \'ignore\''):
        check_files([], "ignore")
    (tmp_path / "text.wav").write_text("Dear diary")
    with pytest.raises(ValueError, match="1 of 1 files are unusable"):
        check_files([tmp_path / "text.wav"], "skip")


def problem(file):
    "Why a file is unusable; None if it is usable."
    try:
        read_clip(file, 16000)
    except BadAudio as e:
        return e.reason


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_may_have_bytes_after_its_end_but_may_not_be_cut(subtype, tmp_path):
    file = tmp_path / "clip.ogg"
    samples = np.random.default_rng(0).normal(0, 0.1, 24000)
    soundfile.write(file, samples, 16000, format="OGG", subtype=subtype)
    content = file.read_bytes()
    expected = read_clip(file, 16000)
    for size in (1, 100, 70_000):
        file.write_bytes(content + bytes(size))
        np.testing.assert_array_equal(read_clip(file, 16000), expected)
    for end in np.linspace(1, len(content) - 1, 40).astype(int):
        for rest in (b"", bytes(len(content) - end)):
            file.write_bytes(content[:end] + rest)
            assert problem(file), (end, len(rest))


@pytest.mark.parametrize(
    "rate, samples, channels, how",
    [
        (1, 20_000, 1, {"format": "WAV"}),
        (100, 20_000, 8, {"format": "WAV", "subtype": "PCM_U8"}),
        (8000, 6 * 10**6, 1, {"format": "FLAC"}),
        (48_000, 43 * 10**5, 8, {"format": "FLAC"}),
    ],
)
def test_a_small_file_that_decodes_to_hours_is_refused_by_its_header(rate, samples, channels, how, tmp_path):
    file = tmp_path / "hours"
    soundfile.write(file, np.zeros((samples, channels), np.int16), rate, **how)
    assert file.stat().st_size < 600_000
    with pytest.raises(BadAudio, match=f"too long for its size: .* at {rate:,} Hz in {channels} channels"):
        with open_audio(file):
            pass


def test_rates_that_no_microphone_has_are_refused(tmp_path):
    file = tmp_path / "fast.wav"
    soundfile.write(file, np.zeros(100), 1_000_001)
    assert problem(file) == "the sample rate must be at most 1,000,000 Hz, got 1,000,001 Hz"


@pytest.mark.parametrize("rate, seconds, channels", [(8000, 600, 1), (16000, 1800, 1), (44100, 100, 6), (500, 20, 1)])
def test_long_recordings_are_usable(rate, seconds, channels, tmp_path):
    file = tmp_path / "long.wav"
    soundfile.write(file, np.zeros((rate * seconds, channels), np.int16), rate, subtype="PCM_U8")
    with open_audio(file) as audio:
        assert audio.seconds == seconds


@pytest.mark.parametrize(
    "error, reason",
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("decoder failed\nat line 3"), "decoder failed"),
        (ValueError(), "ValueError"),
        (FileNotFoundError(2, "No such file"), "No such file"),
    ],
)
def test_everything_that_one_file_does_becomes_bad_audio(error, reason):
    with pytest.raises(BadAudio, match=reason) as e:
        with as_bad_audio("a.wav"):
            raise error
    assert e.value.file == "a.wav"
    with pytest.raises(KeyError):
        with as_bad_audio("a.wav"):
            raise KeyError("a bug")


def test_samples_are_checked_on_request(tmp_path):
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    for file, last in ((good, 0.0), (bad, np.nan)):
        soundfile.write(file, np.append(np.zeros(300_000), last), 16000, subtype="FLOAT")
    assert check_files([good, bad])[0] == [good, bad]
    assert check_files([good, bad], "skip", samples=True)[0] == [good]
    with pytest.raises(ValueError, match="bad.wav: NaN or infinite sample at 18.75 s"):
        check_files([good, bad], samples=True)


def test_channels_are_mixed_down_block_by_block(tmp_path):
    file = tmp_path / "many.wav"
    samples = np.random.default_rng(0).uniform(-1, 1, (300_001, 5))
    soundfile.write(file, samples, 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_clip(file, 16000)[0], samples.mean(1), atol=1e-6)
