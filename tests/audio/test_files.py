"""Reading audio files: usable files are read, and unusable files are reported with a reason."""

import os
import re

import numpy as np
import pytest
import soundfile

from fastaudio_norm.audio.files import BadAudio, check_files, open_audio, printable_path, read_clip


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
