"""The corrected t-test, and the correction for several comparisons."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fastaudio_norm.comparison.significance import corrected_t_test, holm


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
