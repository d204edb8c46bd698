"""Tests and reports of drift in the network, for every kind of target."""

import json

import numpy as np
import pytest
from network_support import TARGETS, clips_of, random_model, referenced
from scipy.stats import chi2_contingency

from fastaudio_norm.monitor import NetworkReference, detect_network_drift, network_tests


@pytest.mark.parametrize("target", TARGETS)
def test_false_alarms_are_as_rare_as_chosen_and_changes_are_found(target):
    found = []
    for seed in range(60):
        model, rng = random_model(target), np.random.default_rng(seed)
        reference = NetworkReference.from_clips(model, *clips_of(model, 60, rng))
        found.append([network_tests(clips_of(model, 40, rng, level)[0], reference).alarm.any() for level in (0.0, 1.0)])
    false_alarms, alarms = np.mean(found, 0)
    assert false_alarms <= 0.12 and alarms > 0.9  # 0.12 has a probability below 2 % at a rate of 5 %


@pytest.mark.parametrize("target", TARGETS)
def test_the_report_says_what_has_changed(target):
    model, reference, rng = referenced(target, 60)
    live = clips_of(model, 40, rng, level=1.5)[0]
    drift = detect_network_drift(live, reference)
    assert drift.alarm and drift.words and drift.clips == 40
    content = json.loads(json.dumps(drift.to_dict()))
    assert content["network"]["alarm"] is True and content["network"]["outputs"].keys() == {"a", "b", "c"}
    page = "\n".join(map("\n".join, drift.sections()))
    if target == "numbers":
        assert "Numbers have no confidence" in str(drift) and content["estimated_accuracy"]["value"] is None
        assert "confidence" not in drift.tests.index and content["network"]["confidence"] is None
        assert not content["estimated_accuracy"]["trusted"]
        means = live.outputs.mean(0)
    else:
        assert "may be far too high" in str(drift) and "estimated accuracy" in page
        assert content["estimated_accuracy"]["value"] == pytest.approx(drift.accuracy.value)
        decided = np.eye(3)[live.outputs.argmax(1)] if target == "label" else live.outputs > 0.5
        means = decided.mean(0)
    assert ("held_out" in page) == (target == "labels")  # the table of labels
    np.testing.assert_allclose(drift.outputs.live, means)


def test_unchanged_clips_give_a_trusted_estimate():
    model, reference, rng = referenced("label", 400)
    live, truth = clips_of(model, 200, rng)
    drift = detect_network_drift(live, reference)
    assert not drift.alarm and drift.words == [] and drift.trusted and "too high" not in str(drift)
    assert drift.accuracy.low < (live.outputs.argmax(1) == truth).mean() < drift.accuracy.high


def test_shares_of_classes_are_compared_by_a_chi_squared_test():
    model, reference, rng = referenced("label", 60)
    live = clips_of(model, 30, rng)[0]
    counts = [np.bincount(x.argmax(1), minlength=3) for x in (live.outputs, reference.outputs)]
    expected = chi2_contingency(np.array(counts), correction=False).pvalue
    assert network_tests(live, reference).p["outputs"] == pytest.approx(expected)
    one = live._replace(outputs=np.tile([0.9, 0.05, 0.05], (30, 1)))
    always = NetworkReference.from_clips(model, one._replace(features=live.features))
    assert network_tests(one, always).p["outputs"] == 1  # a single class is decided, before and after


def test_without_labels_there_is_no_estimate():
    model, rng = random_model(), np.random.default_rng(0)
    reference = NetworkReference.from_clips(model, clips_of(model, 40, rng)[0])
    drift = detect_network_drift(clips_of(model, 40, rng)[0], reference)
    assert "no estimated accuracy: The held-out clips have no labels" in str(drift) and not drift.trusted


def test_a_watch_replaces_the_alarms_of_the_tests():
    model, reference, rng = referenced("label", 60)
    same, changed = (clips_of(model, 40, rng, level)[0] for level in (0.0, 2.0))
    assert not detect_network_drift(changed, reference, alarms=[]).alarm
    alarmed = detect_network_drift(same, reference, alarms=[7])
    assert alarmed.alarm and alarmed.words == ["features or confidence changed"] and "Alarms at clip 7" in str(alarmed)


def test_one_clip_is_too_few():
    model, reference, rng = referenced("label", 60)
    with pytest.raises(ValueError, match="at least two live clips, got 1"):
        detect_network_drift(clips_of(model, 1, rng)[0], reference)
