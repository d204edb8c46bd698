"""Drift of clips that arrive one by one: the same answer as for a folder, and each clip once."""

import shutil

import numpy as np
import pytest
import soundfile

from fastaudio_norm.audio import BadAudio
from fastaudio_norm.data import find_audio
from fastaudio_norm.monitor import DriftMonitor, DriftSession, measure_live
from fastaudio_norm.stats import StatsRecorder


def test_a_session_reports_what_a_folder_with_the_same_clips_reports(made_up, measured):
    files, monitor, session = find_audio(made_up)[::9], DriftMonitor(measured), DriftSession(measured)
    assert str(session) == "no clips yet; add at least two" and session.report() is None and session.show() is None
    session.add(files[0])
    assert str(session).startswith("1 clip: too few") and session.report() is None and session.show() is None
    for n, file in enumerate(files[1:], 2):
        session.add(file)
        assert session.report().clips == n
    found = measure_live(files, measured)
    monitor.merge(found.recorder.reduced(measured.red_dims), found.features)
    expected, report = monitor.report(), session.report()
    np.testing.assert_allclose(report.tests.p, expected.tests.p, rtol=1e-6)
    np.testing.assert_allclose(report.bins["live mean"], expected.bins["live mean"], rtol=1e-9)
    assert str(session) == f"{len(files)} clips: no drift"


def test_each_clip_counts_once(clips, measured):
    session = DriftSession(measured)
    shutil.copy(find_audio(clips)[0], clips / "copy.wav")
    for file in [clips / "copy.wav", *find_audio(clips)[:3], find_audio(clips)[0]]:
        session.add(file)
    assert session.monitor.clips == 3


def test_a_change_is_named(clips, measured):
    session = DriftSession(measured)
    for file in find_audio(clips)[::3]:
        samples, rate = soundfile.read(file)
        soundfile.write(file.with_suffix(".flac"), np.stack([0.003 * samples] * 2, 1), rate, subtype="PCM_24")
        session.add(file.with_suffix(".flac"))
    assert str(session) == f"10 clips: drift ({'; '.join(session.report().words)})" and "level down" in str(session)
    assert len(session.show().axes) == 2


def test_unusable_clips_and_statistics_are_refused(clips, measured):
    session = DriftSession(measured)
    (clips / "text.wav").write_text("no audio")
    soundfile.write(clips / "short.wav", np.zeros(5), 16000)
    for name in ("text.wav", "short.wav"):
        with pytest.raises(BadAudio):
            session.add(clips / name)
    assert session.monitor.clips == 0
    with pytest.raises(ValueError, match="must record how clips differ"):
        DriftSession(StatsRecorder((0, 3)))
    unnamed = StatsRecorder.from_dict(measured.to_dict())
    unnamed.about = {}
    with pytest.raises(ValueError, match="do not name their spectrogram"):
        DriftSession(unnamed)
