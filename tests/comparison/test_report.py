"""The table, its test and its pictures."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fastaudio_norm.comparison.report import (
    class_accuracies,
    confusion,
    format_table,
    holm,
    plot_comparison,
    plot_confusion,
    plot_curves,
    summarize,
)


def frame(accuracies):
    "Of norm: a list of folds, each a list of runs."
    rows = [
        (norm, fold, run, accuracy)
        for norm, folds in accuracies.items()
        for fold, runs in enumerate(folds, 1)
        for run, accuracy in enumerate(runs)
    ]
    return pd.DataFrame(rows, columns=["norm", "fold", "run", "accuracy"])


def test_summary_is_the_formula():
    of_none, of_wave = [[0.6, 0.7], [0.7, 0.7], [0.5, 0.6]], [[0.7, 0.8], [0.7, 0.9], [0.7, 0.7]]
    table = summarize(frame({"none": of_none, "wave": of_wave}))
    differences = 100 * (np.mean(of_wave, 1) - np.mean(of_none, 1))
    error = np.sqrt((1 / 3 + 1 / 2) * differences.var(ddof=1))  # a fold validates half as many as it trains on
    t = stats.t(2)
    row = table.loc["wave"]
    assert row.runs == 6 and row.accuracy == pytest.approx(75) and row["vs none"] == pytest.approx(differences.mean())
    assert row["difference margin"] == pytest.approx(t.ppf(0.975) * error)
    assert row.p == pytest.approx(2 * t.sf(differences.mean() / error))
    of_folds = 100 * np.mean(of_wave, 1)
    assert row.margin == pytest.approx(t.ppf(0.975) * np.sqrt((1 / 3 + 1 / 2) * of_folds.var(ddof=1)))
    assert table.loc["none", "vs none"] == 0 and np.isnan(table.loc["none", "p"])


def test_runs_are_paired_with_those_of_the_same_fold_and_seed():
    rng = np.random.default_rng(0)
    hard = rng.uniform(0.4, 0.9, 5)  # folds differ far more than normalizations
    none = [[h + rng.normal(0, 0.002)] for h in hard]
    table = summarize(frame({"none": none, "wave": [[h + 0.03 + rng.normal(0, 0.002)] for h in hard]}))
    assert table.p["wave"] < 0.01 < 5 < table.margin["wave"] and table["difference margin"]["wave"] < 1
    assert "better" in format_table(table)
    worse = summarize(frame({"none": none, "wave": [[h - 0.03] for h in hard]}))
    assert "worse" in format_table(worse)


def test_no_difference_is_called_noise():
    rng = np.random.default_rng(1)
    accuracies = {name: [[x] for x in rng.uniform(0.7, 0.8, 5)] for name in ("none", "wave", "global")}
    text = format_table(summarize(frame(accuracies)))
    assert text.count("within noise") == 3 and "95 %" in text  # two rows, and what it means
    same = format_table(summarize(frame({"none": accuracies["wave"], "wave": accuracies["wave"]})))
    assert "1.000" in same and "+0.0 ± 0.0" in same


def test_holm():
    assert holm([0.01, 0.02, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert holm([0.5, 0.04, np.nan]) == pytest.approx([0.5, 0.08, np.nan], nan_ok=True)
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    assert np.isnan(holm([np.nan])).all()


def test_one_fold_is_not_tested():
    table = summarize(frame({"none": [[0.5, 0.6]], "wave": [[0.7, 0.7]]}))
    text = format_table(table)
    assert "±" not in text and "noise" not in text and "One fold" in text and "+15.0" in text
    alone = format_table(summarize(frame({"wave": [[0.7]]})))
    assert "vs none" not in alone and "70.0" in alone


def test_a_comparison_that_was_ended_half_way():
    half = frame({"none": [[0.5], [0.6]], "wave": [[0.7]]})
    assert summarize(half).loc["wave", "vs none"] == pytest.approx(20)


def test_picture_has_every_run(results):
    ax = plot_comparison(results, "title").axes[0]
    drawn = {(round(x), label.get_label()) for label in ax.collections for x, _ in label.get_offsets()}
    assert drawn == {(50, "fold 1"), (70, "fold 2"), (70, "fold 1"), (80, "fold 2")}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["none", "wave"]
    assert {t.get_text() for t in ax.texts} == {"60.0", "75.0"}
    plt.close("all")


def test_curves_show_every_run_and_the_mean_of_none(results):
    axes = plot_curves(results).axes
    assert [ax.get_title() for ax in axes] == ["none", "wave"]
    ends = sorted(round(line.get_ydata()[-1]) for line in axes[1].lines)
    assert ends == [60, 70, 80]
    plt.close("all")


def test_confusion(results):
    table = confusion(results, "none")
    assert table.loc["cat"].tolist() == [3 + 4, 3] and table.loc["dog"].tolist() == [5, 2 + 3]
    accuracies = class_accuracies(results)
    assert accuracies.loc["cat", "none"] == 70 and accuracies.loc["dog", "none"] == 50
    with pytest.raises(ValueError, match="No runs of 'peak'; there are those of none, wave"):
        confusion(results, "peak")
    ax = plot_confusion(results, "none").axes[0]
    assert sorted(int(t.get_text()) for t in ax.texts) == [3, 5, 5, 7]
    plt.close("all")
