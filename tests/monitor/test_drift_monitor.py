"""The drift monitor: its window, merging, and what it refuses."""

import numpy as np
import pytest
import torch
from drift_support import as_spectrogram, random_clips, recorded

from fastaudio_norm.monitor import DriftMonitor
from fastaudio_norm.stats import StatsRecorder


def test_a_window_forgets_old_clips(reference):
    monitor = DriftMonitor(reference, window=40)
    for seed in range(6):
        monitor.update(as_spectrogram(random_clips(10, seed + 50, gain=12.0)))
    assert monitor.report().alarm and monitor.live.clips.bins.n <= 50
    for seed in range(6):
        monitor.update(as_spectrogram(random_clips(10, seed + 80)))
    assert not monitor.report().alarm and len(monitor.blocks) <= 5


def test_merging_monitors_equals_one_monitor_for_all_clips(reference, tmp_path):
    x, whole, first, second = random_clips(30, 7), *(DriftMonitor(reference) for _ in range(3))
    whole.update(as_spectrogram(x))
    first.update(as_spectrogram(x[:12]))
    second.update(as_spectrogram(x[12:]))
    first.live.save(tmp_path / "first.json")
    second.merge(StatsRecorder.load(tmp_path / "first.json"))
    np.testing.assert_allclose(second.report().tests.p, whole.report().tests.p, rtol=1e-6)
    np.testing.assert_allclose(second.report().bins["live std"], whole.report().bins["live std"], rtol=1e-9)


def test_padding_does_not_count(reference):
    alone, padded = DriftMonitor(reference), DriftMonitor(reference)
    x, lengths = random_clips(12, 7), [40 - i for i in range(12)]
    for i, length in enumerate(lengths):
        alone.update(as_spectrogram(x[i : i + 1, ..., :length]))
        x[i, ..., length:] = -100
    specs = as_spectrogram(x)
    specs.lengths = tuple(lengths)
    padded.update(specs)
    np.testing.assert_allclose(padded.report().tests.p, alone.report().tests.p, rtol=1e-6)


def test_a_watch_alarms_once_the_sound_changes_and_is_reset(reference):
    monitor = DriftMonitor(reference, window=40, expect_alarm_every=10_000)
    monitor.update(as_spectrogram(random_clips(40, 1)))
    assert not monitor.report().alarm
    monitor.update(as_spectrogram(random_clips(40, 2, gain=12.0)))
    drift = monitor.report()
    assert drift.alarm and drift.alarms == monitor.watch.alarms and 40 < drift.alarms[0] < 60
    assert drift.words[0].startswith("level up") and f"Alarms at clip {drift.alarms[0]}" in str(drift)
    monitor.watch.allowance = 1.5
    monitor.reset(recorded(random_clips(60, 2, gain=12.0)))
    assert monitor.clips == monitor.watch.clips == 0 and monitor.watch.allowance == 1.5
    monitor.update(as_spectrogram(random_clips(40, 3, gain=12.0)))
    assert not monitor.report().alarm
    with pytest.raises(ValueError, match="A watch needs the features of each clip"):
        monitor.merge(reference)


def test_unsuitable_statistics_and_clips_are_refused(reference):
    with pytest.raises(ValueError, match="must record how clips differ"):
        DriftMonitor(StatsRecorder((0, 1, 3), quantiles=True))
    with pytest.raises(ValueError, match="at least 48 clips to estimate how clips differ, got 20"):
        DriftMonitor(recorded(random_clips(20, 0)))
    with pytest.raises(ValueError, match="`window` must be at least 4 clips, got 1"):
        DriftMonitor(reference, window=1)
    monitor = DriftMonitor(reference)
    with pytest.raises(ValueError, match="at least two clips, got 0"):
        monitor.report()
    with pytest.raises(ValueError, match="n_fft=512 instead of 126"):
        monitor.update(as_spectrogram(random_clips(2, 0), n_fft=512))
    with pytest.raises(ValueError, match="not finite"):
        monitor.update(as_spectrogram(torch.full((2, 1, 64, 40), torch.nan)))
    assert "0 clips seen, 240 known" in repr(monitor)
