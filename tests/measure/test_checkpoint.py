"""A measurement that is killed resumes from its checkpoint and ends in the same file of statistics."""

import numpy as np
import pytest
import soundfile
from measure_support import digest_of_statistics, measure_and_die

from fastaudio_norm.measure.folder import measure


@pytest.mark.parametrize("options", [{}, {"spec": "linear", "wave": True}, {"fraction": 0.7, "on_error": "skip"}])
def test_a_resumed_measurement_ends_in_the_same_file(options, clips, tmp_path, monkeypatch, capsys):
    soundfile.write(clips / "0 NaN.wav", np.full(9000, np.nan), 16000, subtype="FLOAT")
    if "on_error" not in options:
        (clips / "0 NaN.wav").unlink()
    whole, checkpoint = digest_of_statistics(clips, tmp_path / "whole.json", **options), tmp_path / "part.json"
    for n in (1, 5, 2, 9):
        measure_and_die(n, monkeypatch, clips, checkpoint, **options)
    assert digest_of_statistics(clips, tmp_path / "stats.json", checkpoint=checkpoint, **options) == whole
    assert "Resuming after 1" in capsys.readouterr().err  # 1 + 5 + 2 + 9, and the one with NaN


def test_other_files_or_settings_start_over(clips, tmp_path, monkeypatch, capsys):
    checkpoint = tmp_path / "part.json"
    measure_and_die(10, monkeypatch, clips, checkpoint)
    saved = checkpoint.read_bytes()
    resumed = digest_of_statistics(clips, tmp_path / "a", checkpoint=checkpoint, wave=True)
    assert resumed == digest_of_statistics(clips, tmp_path / "b", wave=True)
    assert "Starting over" in capsys.readouterr().err
    checkpoint.write_bytes(saved)
    changed = sorted(clips.iterdir())[3]
    samples, sr = soundfile.read(changed)
    soundfile.write(changed, samples / 2, sr)
    resumed = digest_of_statistics(clips, tmp_path / "a", checkpoint=checkpoint)
    assert resumed == digest_of_statistics(clips, tmp_path / "b")
    assert "Starting over" in capsys.readouterr().err
    checkpoint.write_bytes(saved[:-100])
    with pytest.raises(ValueError, match="part.json is not a checkpoint file, or it is truncated"):
        measure(clips, checkpoint=checkpoint)


def test_after_a_bad_clip_the_clips_before_it_are_not_measured_again(clips, tmp_path, capsys):
    bad = clips / sorted(clips.iterdir())[20].name.replace(".wav", "x.wav")
    soundfile.write(bad, np.full(9000, np.nan), 16000, subtype="FLOAT")
    with pytest.raises(ValueError, match="x.wav: NaN or infinite sample at 0.00 s"):
        measure(clips, checkpoint=tmp_path / "part.json")
    bad.unlink()
    resumed = digest_of_statistics(clips, tmp_path / "a", checkpoint=tmp_path / "part.json")
    assert "Resuming after 21 of 30" in capsys.readouterr().err
    assert resumed == digest_of_statistics(clips, tmp_path / "b")
