"""The corrected t-test, the paired test of two models, and the correction for several comparisons."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fastaudio_norm.comparison.significance import clip_test, corrected_t_test, holm, needed_factor, paired_clip_test


def test_the_t_test_follows_nadeau_and_bengio():
    mean, margin, p = corrected_t_test(pd.Series([1.0, 2.0, 6.0]), 1 / 2)
    error, t = np.sqrt((1 / 3 + 1 / 2) * 7), stats.t(2)  # 7: variance of the three values
    assert mean == pytest.approx(3) and margin == pytest.approx(t.ppf(0.975) * error)
    assert p == pytest.approx(2 * t.sf(3 / error))


def test_holm_multiplies_and_keeps_the_order():
    assert holm([0.01, 0.02, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert holm([0.5, 0.04, np.nan]) == pytest.approx([0.5, 0.08, np.nan], nan_ok=True)
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert np.isnan(holm([np.nan])).all()


@pytest.mark.parametrize("differences", [[2.5, 2.5], [-1.25, -1.25], [0.0, 0.0], [1.0, 30.0], [7.0]])
def test_fewer_than_three_folds_give_no_verdict(differences):
    "Two folds of few clips often differ by the same amount, which has a variance of 0."
    mean, margin, p = corrected_t_test(pd.Series(differences), 1 / 4)
    assert mean == pytest.approx(np.mean(differences)) and np.isnan(margin) and np.isnan(p)


def test_the_test_on_clips_follows_its_formula():
    rng = np.random.default_rng(0)
    folds = [rng.choice([-1.0, 0, 1], n) + 0.2 for n in (20, 30, 50)]
    groups = [np.arange(len(fold)) // 3 for fold in folds]
    clips = np.concatenate(folds)
    residuals = [group.sum() for fold, g in zip(folds, groups) for _, group in pd.Series(fold - fold.mean()).groupby(g)]
    between_clips = len(residuals) / (len(residuals) - 3) * np.square(residuals).sum() / 100**2
    between_folds = sum(len(fold) / 100 * (fold.mean() - clips.mean()) ** 2 for fold in folds) / 2
    df = (between_clips + between_folds) ** 2 / (between_clips**2 / (len(residuals) - 3) + between_folds**2 / 2)
    error, t = np.sqrt(between_clips + between_folds), stats.t(df)
    expected = clips.mean(), t.ppf(0.975) * error, 2 * t.sf(clips.mean() / error)
    assert clip_test(folds, groups) == pytest.approx(expected)
    names = [[f"speaker {i}" for i in group] for group in groups]
    assert clip_test([-fold for fold in folds], names) == pytest.approx((-expected[0], *expected[1:]))
    assert clip_test(folds) == pytest.approx(clip_test(folds, [range(len(fold)) for fold in folds]))


@pytest.mark.parametrize("training", [0.0, 0.03])
@pytest.mark.parametrize("runs", [1, 3])
def test_false_alarms_on_clips_stay_below_their_rate(runs, training):
    "Groups of five clips share a difficulty for each method, and all clips of a fold share the chance of a training."
    rng, alarms = np.random.default_rng(0), 0
    groups = [np.arange(80) // 5] * 5
    for _ in range(300):
        group = rng.normal(0, 0.3, (5, 16)).repeat(5, axis=1)
        of_run = rng.normal(0, 1, (5, runs, 80)) + rng.normal(0, training, (5, runs, 1))
        alarms += clip_test(group + of_run.mean(1), groups)[2] < 0.05
    assert alarms <= 21  # 5 % of 300 and one and a half standard deviations


def test_clips_show_smaller_differences_than_folds():
    rng, found = np.random.default_rng(0), np.zeros(2)
    for _ in range(100):
        folds = rng.choice([-1, 0, 1], (5, 80), p=[0.08, 0.75, 0.17])
        found += np.array([corrected_t_test(pd.Series(folds.mean(1)), 1 / 4)[2], clip_test(folds)[2]]) < 0.05
    assert found[1] > found[0] + 10


@pytest.mark.parametrize("folds", [[], [[1, 0, 1]], [[1, 0, 1]] * 2, [[1]] * 5])
def test_too_few_folds_or_clips_give_no_verdict(folds):
    assert np.isnan(clip_test(folds)[1:]).all()


def test_equal_methods_have_p_1():
    assert clip_test([np.zeros(4)] * 5) == (0, 0, 1)


def test_the_needed_number_of_clips_gives_the_margin():
    assert needed_factor(2.0, 2.8) == pytest.approx(1)
    factor = needed_factor(4.0, 2.0, share=0.9)
    assert 16 * (0.1 + 0.9 / factor) == pytest.approx((2 / 1.4) ** 2)
    assert needed_factor(4.0, 2.0, share=0.1) == np.inf


def test_two_models_are_compared_clip_by_clip():
    differences = np.random.default_rng(0).choice([-1, 0, 1], 40, p=[0.1, 0.6, 0.3])
    better, worse = (differences > 0).sum(), (differences < 0).sum()
    mean, margin, p = paired_clip_test(differences)
    peer = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    np.testing.assert_allclose([mean - margin, mean + margin], peer)
    assert p == pytest.approx(2 * stats.binom(better + worse, 0.5).cdf(worse)) and better > worse  # exact McNemar test
    assert paired_clip_test(-differences) == pytest.approx((-mean, margin, p))


def test_models_that_do_not_differ_or_one_clip():
    assert paired_clip_test([0.0] * 5) == (0, 0, 1)
    assert np.isnan(paired_clip_test([1.0])[1])
