"""Tables of a comparison."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fastaudio_norm.comparison.report import class_accuracies, confusion, format_table, summarize


def make_results(accuracies):
    "Table of results from accuracies by normalization: a list of folds, where each fold is a list of runs."
    rows = [
        (norm, fold, run, accuracy)
        for norm, folds in accuracies.items()
        for fold, runs in enumerate(folds, 1)
        for run, accuracy in enumerate(runs)
    ]
    return pd.DataFrame(rows, columns=["norm", "fold", "run", "score"])


def test_the_summary_follows_the_formula():
    none, wave = [[0.6, 0.7], [0.7, 0.7], [0.5, 0.6]], [[0.7, 0.8], [0.7, 0.9], [0.7, 0.7]]
    table = summarize(make_results({"none": none, "wave": wave}))
    differences = 100 * (np.mean(wave, 1) - np.mean(none, 1))
    error = np.sqrt((1 / 3 + 1 / 2) * differences.var(ddof=1))  # 1/2: validation clips per training clip
    t = stats.t(2)
    row = table.loc["wave"]
    assert row.runs == 6 and row.score == pytest.approx(75) and row["vs none"] == pytest.approx(differences.mean())
    assert row["difference margin"] == pytest.approx(t.ppf(0.975) * error)
    assert row.p == pytest.approx(2 * t.sf(differences.mean() / error))
    by_fold = 100 * np.mean(wave, 1)
    assert row.margin == pytest.approx(t.ppf(0.975) * np.sqrt((1 / 3 + 1 / 2) * by_fold.var(ddof=1)))
    assert table.loc["none", "vs none"] == 0 and np.isnan(table.loc["none", "p"])


def test_runs_are_paired_by_fold_and_seed():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.4, 0.9, 5)  # folds differ far more than normalizations
    none = [[h + rng.normal(0, 0.002)] for h in hard]
    table = summarize(make_results({"none": none, "wave": [[h + 0.03 + rng.normal(0, 0.002)] for h in hard]}))
    assert table.p["wave"] < 0.01 < 5 < table.margin["wave"] and table["difference margin"]["wave"] < 1
    assert "better" in format_table(table)
    worse = summarize(make_results({"none": none, "wave": [[h - 0.03] for h in hard]}))
    assert "worse" in format_table(worse)


def test_small_differences_are_within_noise():
    rng = np.random.default_rng(1)
    accuracies = {name: [[x] for x in rng.uniform(0.7, 0.8, 5)] for name in ("none", "wave", "global")}
    text = format_table(summarize(make_results(accuracies)))
    assert text.count("within noise") == 3 and "95 %" in text  # two rows, and the explanation
    same = format_table(summarize(make_results({"none": accuracies["wave"], "wave": accuracies["wave"]})))
    assert "1.000" in same and "+0.0 ± 0.0" in same


def test_one_fold_has_neither_interval_nor_p_value():
    table = summarize(make_results({"none": [[0.5, 0.6]], "wave": [[0.7, 0.7]]}))
    text = format_table(table)
    assert "0 ±" not in text and "noise" not in text and "too few folds to say" in text and "+15.0" in text
    alone = format_table(summarize(make_results({"wave": [[0.7]]})))
    assert "vs none" not in alone and "70.0" in alone


def test_an_interrupted_comparison_is_summarized():
    half = make_results({"none": [[0.5], [0.6]], "wave": [[0.7]]})
    assert summarize(half).loc["wave", "vs none"] == pytest.approx(20)


def test_confusions_are_counted_over_folds_and_runs(results):
    table = confusion(results, "none")
    assert table.loc["cat"].tolist() == [3 + 4, 3] and table.loc["dog"].tolist() == [5, 2 + 3]
    accuracies = class_accuracies(results)
    assert accuracies.loc["cat", "none"] == 70 and accuracies.loc["dog", "none"] == 50
    with pytest.raises(ValueError, match="Expected one of the normalizations none, wave, got 'peak'"):
        confusion(results, "peak")


def test_two_folds_have_no_verdict():
    text = format_table(summarize(make_results({"none": [[0.5], [0.6]], "wave": [[0.6], [0.7]]})))
    assert "+10.0" in text and "too few folds to say" in text
    assert not any(word in text for word in ("better", "0.000", "within noise", "+10.0 ±"))
