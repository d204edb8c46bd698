"""Scores of clips, differences between normalizations, and the skill of networks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.metrics import brier_score_loss, mean_absolute_error

from fastaudio_norm.comparison.scores import baseline_of, clip_differences, clip_scores, skill

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 2, (30, 4)), RNG.uniform(0, 1, (30, 4))
NUMBERS = RNG.normal(5, 2, (30, 2)), RNG.normal(5, 2, (30, 2))


def one_run(truth, predicted, target):
    frame = pd.DataFrame({"norm": ["none"], "truth": [truth.tolist()], "predicted": [predicted.tolist()]})
    frame.attrs["target"] = target
    return frame


def test_the_mean_of_clip_scores_is_the_known_metric():
    truth, predicted = LABELS
    brier = np.mean([brier_score_loss(truth[:, i], predicted[:, i]) for i in range(4)])
    assert clip_scores(truth, predicted, "labels").mean() == pytest.approx(-brier)
    assert clip_scores(*NUMBERS, "numbers").mean() == pytest.approx(-mean_absolute_error(*NUMBERS))
    assert clip_scores(NUMBERS[0][:, 0], NUMBERS[1][:, 0], "numbers").shape == (30,)


def test_runs_without_a_partner_are_not_compared():
    rows = [("none", 1, 0, [0, 0]), ("wave", 1, 0, [0, 1]), ("wave", 1, 1, [1, 1]), ("wave", 2, 0, [1, 1])]
    frame = pd.DataFrame([(*row, [0, 1]) for row in rows], columns=["norm", "fold", "run", "predicted", "truth"])
    [(fold, differences)] = clip_differences(frame, "wave", "none").items()
    assert fold == 1 and differences.tolist() == [[0, 1]]
    [opposite] = clip_differences(frame, "none", "wave").values()
    assert opposite.tolist() == [[0, -1]]


def test_skill_is_0_for_constant_answers_and_1_for_perfect_ones():
    truth, _ = NUMBERS
    median = DummyRegressor(strategy="median").fit(np.zeros((30, 1)), truth).predict(np.zeros((30, 1)))
    assert skill(one_run(truth, median, "numbers"), "none") == pytest.approx(0)
    assert skill(one_run(truth, truth, "numbers"), "none") == 1
    truth, _ = LABELS
    assert skill(one_run(truth, np.tile(truth.mean(0), (30, 1)), "labels"), "none") == pytest.approx(0)
    classes = np.array([0, 0, 0, 1])
    assert skill(one_run(classes, np.zeros(4, int), "label"), "none") == 0
    assert np.isnan(skill(one_run(classes[:3], classes[:3], "label"), "none"))  # one class only


def test_the_baseline_is_checked(results):
    assert baseline_of(results) == "none" and baseline_of(results, "wave") == "wave"
    results.attrs["baseline"] = "pcen"
    assert baseline_of(results) is None
    with pytest.raises(ValueError, match="one of the compared normalizations none, wave, got 'peak'"):
        baseline_of(results, "peak")
