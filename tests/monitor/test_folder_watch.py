"""The watch of a folder: what it counts, forgets and refuses."""

import os

import numpy as np
import pytest

from fastaudio_norm.data import find_audio
from fastaudio_norm.monitor import FolderWatch, measure_live
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.storage import read_json, write_json


def test_each_file_is_counted_once_in_the_order_of_arrival(clips, measured, tmp_path):
    files, state = find_audio(clips), tmp_path / "watch.json"
    for i, file in enumerate(reversed(files)):
        os.utime(file, ns=(0, i * 10**9))
    watch = FolderWatch(state, measured, 1000)
    assert watch.new_files(files) == files[::-1]
    watch.mark(files)
    watch.save()
    files[3].unlink()
    os.utime(files[5])
    watch = FolderWatch(state, measured, 1000)
    assert watch.new_files(find_audio(clips)) == [files[5]] and len(watch.counted) == len(files) - 2


def test_features_belong_to_the_files_that_were_measured(clips, measured):
    files = find_audio(clips)
    files[1].write_bytes(b"not audio")
    live = measure_live(files, measured, on_error="skip")
    assert live.files == [file for file in files if file != files[1]] and len(live.skipped) == 1
    alone = measure_live(files[2:3], measured)
    np.testing.assert_allclose(live.features[1], alone.features[0], rtol=1e-12)
    with pytest.raises(ValueError, match="do not name their spectrogram"):
        measure_live(files[2:], StatsRecorder((0, 3)))


def test_a_damaged_or_different_state_is_refused(measured, tmp_path):
    state = tmp_path / "watch.json"
    FolderWatch(state, measured, 1000).save()
    with pytest.raises(ValueError, match="expects an alarm every 1000 clips, got 2000"):
        FolderWatch(state, measured, 2000)
    content = read_json(state, "watch", 1)
    for damaged in ({}, {**content, "counted": 5}, {**content, "watch": {**content["watch"], "average": "x"}}):
        write_json(state, "watch", 1, damaged)
        with pytest.raises(ValueError, match="not a valid watch"):
            FolderWatch(state, measured, 1000)
