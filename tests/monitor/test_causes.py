"""Causes of drift: effect sizes, honest answers, and statistics that have no known frequencies."""

import re

import numpy as np
import pytest
import torch
from drift_support import SETTINGS, random_clips, recorded, update
from fastaudio.core.spectrogram import AudioSpectrogram
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.monitor import compare_causes, name_cause
from fastaudio_norm.stats import StatsRecorder


@settings(max_examples=5, deadline=None)
@given(st.integers(8, 30), st.sampled_from([-1, 1]))
def test_any_clear_gain_is_named_with_its_size(reference, size, sign):
    words = name_cause(compare_causes(recorded(random_clips(40, size) + float(sign * size)), reference))
    found = re.match(r"level (up|down) (\d+) dB", words[0])
    assert found and abs(int(found[2]) - size) <= 3 and (found[1] == "up") == (sign > 0)


def test_levels_that_fall_slowly_are_reverberation(reference):
    live = recorded(random_clips(40, 1))
    live.clips.features.mean[live.clips.groups["decay"]] -= (0.15, 0.3)
    assert name_cause(compare_causes(live, reference)) == ["reverberation: levels fall more slowly"]


def test_a_change_without_a_known_cause_is_not_named(reference):
    bins = torch.arange(64) // 3 % 2 * 40.0 - 20  # a comb
    causes = compare_causes(recorded(random_clips(40, 1) + bins[:, None]), reference)
    assert name_cause(causes) == ["cause not recognized"]
    assert np.isfinite(causes.distance).all() and causes.distance.is_monotonic_increasing


@pytest.mark.parametrize(
    "bins, words", [((0, 10), r"everything below 1\.\d kHz gone"), ((20, 30), r"2\.\d kHz to 4\.\d kHz missing")]
)
def test_the_edges_of_a_missing_band_lie_within_the_spectrum(reference, bins, words):
    change = torch.zeros(64)
    change[slice(*bins)] = -50.0
    causes = compare_causes(recorded(random_clips(40, 1) + change[:, None]), reference)
    assert re.match(words, causes.words["missing band"])


@pytest.mark.parametrize("change", [{"to_db": False}, None])
def test_spectrograms_in_another_unit_have_no_known_causes(change):
    def record(gain):
        recorder = StatsRecorder((0, 1, 3), quantiles=True, clips=True)
        if change is None:
            recorder.update(random_clips(60, 0) + gain)
        else:
            update(recorder, AudioSpectrogram.create(random_clips(60, 0) + gain, settings=SETTINGS | change))
        return recorder

    causes = compare_causes(record(20), record(0))
    assert not len(causes) and name_cause(causes) == ["cause not recognized"]
