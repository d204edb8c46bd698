"""The watch: rate of false alarms, batches, unusual clips, saved states."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.monitor import DriftWatch, average_run_length, mewma_threshold
from fastaudio_norm.stats import ClipFeatures

RNG = np.random.default_rng(0)
MIXING = RNG.standard_normal((35, 35)) + 3 * np.eye(35)


def clips(n, heavy=False):
    "Features of random clips; with `heavy` tails, some clips are very unusual."
    x = RNG.standard_t(4, (n, 35)) / np.sqrt(2) if heavy else RNG.standard_normal((n, 35))
    return x @ MIXING


def known(features):
    found = ClipFeatures(64)
    found.features.update(features)
    return found


@pytest.mark.parametrize("heavy", [False, True])
def test_false_alarms_are_as_rare_as_expected(heavy):
    watch = DriftWatch(known(clips(2000, heavy)), expect_alarm_every=250)
    alarms = len(watch.update(clips(10_000, heavy)))
    assert 10 < alarms < 80, alarms  # 40 are expected


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.floats(100, 1e6))
def test_the_threshold_has_the_average_run_length(k, clips):
    assert average_run_length(mewma_threshold(clips, k), k) == pytest.approx(clips, rel=0.05)


def test_batches_do_not_matter_and_the_state_can_be_saved():
    features, x = known(clips(200)), clips(300) + 0.1 * np.abs(MIXING).sum(0)
    whole, parts = DriftWatch(features), DriftWatch(features)
    expected = whole.update(x)
    found = parts.update(x[:1])
    for part in np.array_split(x[1:], 7):
        parts = DriftWatch.from_dict(parts.to_dict(), features)
        found += parts.update(part)
    assert expected and found == expected == parts.alarms


def test_a_single_unusual_clip_is_no_alarm():
    watch = DriftWatch(known(clips(500)))
    assert not watch.update(np.full((1, 35), 1e6)) and not watch.update(clips(50))


def test_new_statistics_reset_the_watch_but_not_its_calibration():
    watch = DriftWatch(known(clips(200)))
    watch.update(clips(10))
    watch.allowance = 2.0
    restored = DriftWatch.from_dict(watch.to_dict(), known(clips(200)))
    assert restored.clips == 0 and not restored.average.any() and restored.allowance == 2.0


def test_what_cannot_be_watched_is_refused():
    features = known(clips(200))
    watch = DriftWatch(features)
    for bad in (np.zeros(35), np.zeros((2, 5)), np.full((1, 35), np.nan)):
        with pytest.raises(ValueError, match=r"expected finite features \[clips, 35\]"):
            watch.update(bad)
    with pytest.raises(ValueError, match="at least 100 clips, got 10"):
        DriftWatch(features, 10)
    with pytest.raises(ValueError, match="at least 5 sessions, got 2"):
        watch.calibrate(clips(20), [0, 1] * 10)
    for change in ({"clips": -1}, {"alarms": [7]}, {"average": [0.0]}, {"allowance": 0.5}, {"clips": "many"}):
        with pytest.raises(ValueError):
            DriftWatch.from_dict({**watch.to_dict(), **change}, features)
