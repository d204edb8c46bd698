"""Accuracy that is estimated from confidence: its interval, temperatures, labels, and cases without an answer."""

import numpy as np
import pytest
from network_support import clips_of, random_model
from scipy.optimize import minimize_scalar

from fastaudio_norm.monitor import estimate_accuracy


def softmax(logits):
    p = np.exp(logits - logits.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def drawn(n, rng, classes=4, scale=1.0):
    "Logits, and a truth that has the probabilities of `scale` times the logits."
    logits = 2 * rng.standard_normal((n, classes))
    return logits, (scale * logits + rng.gumbel(size=logits.shape)).argmax(1)


def test_it_equals_the_mean_confidence_at_the_best_temperature():
    rng = np.random.default_rng(0)
    (held_out, truth), (live, _) = drawn(5000, rng, scale=0.5), drawn(300, rng)

    def loss(temperature):
        return -np.log(softmax(held_out / temperature)[np.arange(5000), truth]).mean()

    best = minimize_scalar(loss, bounds=(0.2, 10), method="bounded").x
    assert best == pytest.approx(2, rel=0.1)
    estimate = estimate_accuracy(softmax(held_out), truth, softmax(live))
    assert estimate.value == pytest.approx(softmax(live / best).max(1).mean(), abs=0.01)
    assert estimate.held_out == (held_out.argmax(1) == truth).mean()
    assert estimate.low < estimate.value < estimate.high


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
def test_the_interval_covers_the_true_accuracy(scale):
    rng, covered = np.random.default_rng(1), []
    for _ in range(100):
        (held_out, truth), (live, hidden) = drawn(50, rng, scale=scale), drawn(40, rng, scale=scale)
        estimate = estimate_accuracy(softmax(held_out), truth, softmax(live))
        covered.append(estimate.low <= (live.argmax(1) == hidden).mean() <= estimate.high)
    assert np.mean(covered) >= 0.9


def test_more_clips_narrow_the_interval():
    rng = np.random.default_rng(2)
    held_out, truth = drawn(2000, rng)
    live, _ = drawn(2000, rng)
    widths = [
        estimate.high - estimate.low
        for n in (30, 2000)
        for estimate in [estimate_accuracy(softmax(held_out[:n]), truth[:n], softmax(live[:n]))]
    ]
    assert widths[0] > 5 * widths[1]


def test_no_error_on_the_held_out_clips_does_not_make_certain():
    p = np.tile([0.98, 0.01, 0.01], (20, 1))
    estimate = estimate_accuracy(p, np.zeros(20, int), p)
    assert 0.9 < estimate.value < 0.995 and estimate.low < 0.97


def test_extreme_outputs_are_accepted():
    p = np.eye(3)[np.arange(30) % 3]
    estimate = estimate_accuracy(p, p.argmax(1), p[:1])
    assert np.isfinite([estimate.value, estimate.low, estimate.high]).all() and 0.9 < estimate.value <= 1
    labels = estimate_accuracy(p, p, p[:1], "labels")
    assert np.isfinite(labels.labels.to_numpy()).all()


def test_several_labels_are_calibrated_one_by_one():
    rng, model = np.random.default_rng(3), random_model("labels")
    (held_out, truth), (live, hidden) = clips_of(model, 400, rng), clips_of(model, 400, rng)
    outputs = held_out.outputs.copy()
    truth[:, 2] = 1  # applies to every clip
    estimate = estimate_accuracy(outputs, truth, live.outputs, "labels", [0.5, 0.8, 0.5], model.classes)
    assert list(estimate.labels.index) == ["a", "b"]
    right = ((live.outputs > [0.5, 0.8, 0.5]) == hidden).mean(0)[:2]
    assert ((estimate.labels.low <= right) & (right <= estimate.labels.high)).all()
    assert estimate.value == estimate.labels.value.mean() and estimate.to_dict()["labels"]["b"]["held_out"] > 0.5
    with pytest.raises(ValueError, match="and others lack, got none"):
        estimate_accuracy(outputs, np.ones((400, 3)), live.outputs, "labels")


def test_numbers_are_refused():
    with pytest.raises(ValueError, match="Numbers have no confidence"):
        estimate_accuracy(np.zeros((20, 1)), np.zeros((20, 1)), np.zeros((20, 1)), "numbers")
