"""Reading and writing files through `AudioTensor`, which calls `load_audio` and `save_audio`."""

import inspect

import numpy as np
import pytest
import soundfile
import torch
from fastaudio.core.signal import AudioTensor, get_audio_files

SR = 16000


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3"])
def test_all_formats_are_found_and_read(tmp_path, extension):
    t = np.arange(SR) / SR
    tone = 0.5 * np.stack([np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 880 * t)], axis=1)
    soundfile.write(tmp_path / f"tone.{extension}", tone, SR)
    x = AudioTensor.create(tmp_path / f"tone.{extension}")
    assert x.sr == SR and x.nchannels == 2 and x.dtype == torch.float32 and x.is_contiguous()
    assert x.nsamples >= SR
    for channel, frequency in zip(x, (440, 880)):
        spectrum = torch.fft.rfft(channel[:SR]).abs()
        assert spectrum.argmax() == frequency
    assert get_audio_files(tmp_path) == [tmp_path / f"tone.{extension}"]


def test_saving_and_reading_preserves_samples_beyond_full_scale(tmp_path, clip):
    clip = clip * 20  # beyond [-1, 1], which WAV files of floats preserve
    clip.save(tmp_path / "clip.wav")
    again = AudioTensor.create(tmp_path / "clip.wav")
    assert torch.equal(again, clip) and again.sr == SR
    with pytest.raises(Exception, match="already exists"):
        clip.save(tmp_path / "clip.wav", overwrite=False)


def test_errors_name_unreadable_files(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), SR)
    with pytest.raises(ValueError, match="text.wav"):
        AudioTensor.create(tmp_path / "text.wav")
    with pytest.raises(ValueError, match="no samples.*empty.wav"):
        AudioTensor.create(tmp_path / "empty.wav")
    with pytest.raises(FileNotFoundError, match="missing.wav"):
        AudioTensor.create(tmp_path / "missing.wav")
    assert {"frame_offset", "num_frames"} <= set(inspect.signature(AudioTensor.create).parameters)


def test_formats_without_random_access_are_read_from_their_start(tmp_path):
    soundfile.write(tmp_path / "phone.wav", np.zeros(8000), 8000, subtype="GSM610")
    assert AudioTensor.create(tmp_path / "phone.wav").nsamples >= 8000
    with pytest.raises(ValueError, match="must be at least 0, got -3"):
        AudioTensor.create(tmp_path / "phone.wav", frame_offset=-3)


def test_a_truncated_file_is_read_with_a_warning(tmp_path):
    soundfile.write(tmp_path / "tone.wav", np.zeros(SR), SR)
    content = (tmp_path / "tone.wav").read_bytes()
    (tmp_path / "tone.wav").write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"tone\.wav is truncated: [\d,]+ of [\d,]+ bytes are present"):
        assert 0 < AudioTensor.create(tmp_path / "tone.wav").nsamples < SR
