"""Tables of a comparison."""

import re

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


def make_runs(right, folds=5, runs=2, n=40):
    "Results with predictions: each normalization classifies a share of the clips correctly, the easiest ones first."
    rng = np.random.default_rng(0)
    hard, rows = rng.uniform(size=(folds, n)), []
    for norm, share in right.items():
        for fold in range(folds):
            for run in range(runs):
                truth = np.arange(n) % 4
                predicted = np.where(hard[fold] + rng.normal(0, 0.1, n) < share, truth, (truth + 1) % 4)
                rows.append((norm, fold, run, np.mean(truth == predicted), truth.tolist(), predicted.tolist()))
    return pd.DataFrame(rows, columns=["norm", "fold", "run", "score", "truth", "predicted"])


def test_the_test_on_clips_decides():
    results = make_runs({"none": 0.6, "wave": 0.75, "global": 0.6})
    table = summarize(results)
    assert table["clip difference"]["wave"] == pytest.approx(table["vs none"]["wave"])
    assert table["clip p"]["wave"] < 0.01 < table["clip p"]["global"] and np.isnan(table["clip p"]["none"])
    wave, same = format_table(table).splitlines()[2:4]
    assert wave.endswith("better") and same.endswith("within noise")
    assert "clips are independent" in format_table(table)


def test_groups_of_clips_widen_the_interval():
    results = make_runs({"none": 0.6, "wave": 0.75})
    alone = summarize(results)["clip margin"]["wave"]
    hard = np.argsort(np.mean([np.equal(t, p) for t, p in zip(results.truth, results.predicted)], 0))
    groups = np.empty(40, int)
    groups[hard] = np.arange(40) // 8
    results.attrs["groups"] = {fold: groups.tolist() for fold in range(5)}
    table = summarize(results)
    assert table["clip margin"]["wave"] != alone and "groups of clips are independent" in format_table(table)


@pytest.mark.parametrize("higher, verdict", [(True, "better"), (False, "worse")])
def test_the_verdict_follows_the_direction_of_the_metric(higher, verdict):
    results = make_results({"none": [[0.5], [0.6], [0.7]], "wave": [[1.5], [1.61], [1.69]]})
    results.attrs["metric"] = {"name": "mean absolute error", "higher_is_better": higher, "percent": False}
    text = format_table(summarize(results))
    assert verdict in text.splitlines()[2] and "+1 ±" in text and "%)" not in text and "mean absolute error" in text


def test_another_baseline_turns_the_signs():
    results = make_runs({"none": 0.6, "wave": 0.75})
    none, wave = summarize(results), summarize(results, baseline="wave")
    assert wave["vs wave"]["none"] == pytest.approx(-none["vs none"]["wave"])
    assert wave["clip p"]["none"] == pytest.approx(none["clip p"]["wave"])
    assert "worse" in format_table(wave) and "vs wave" in format_table(wave)
    with pytest.raises(ValueError, match="got 'pcen'"):
        summarize(results, baseline="pcen")


def test_barely_trained_networks_are_reported():
    assert "none: barely trained" in format_table(summarize(make_runs({"none": 0.25, "wave": 0.7})))
    assert "barely" not in format_table(summarize(make_runs({"none": 0.5, "wave": 0.7})))


def test_intervals_wider_than_the_scale_are_not_printed():
    text = format_table(summarize(make_results({"none": [[0.1], [0.5], [0.9]]})))
    assert " ± " not in text and "too few folds to say" in text and "50.0" in text


@pytest.mark.parametrize("sizes", [(3, 40, 80), (5, 5, 5, 5, 5, 5, 5, 60)])
def test_folds_of_any_number_and_size_are_summarized(sizes):
    norms = {"none": 0.5, "wave": 0.8}
    parts = [make_runs(norms, folds=1, n=n).assign(fold=f"site {i}") for i, n in enumerate(sizes)]
    table = summarize(pd.concat(parts, ignore_index=True))
    assert np.isfinite(table.margin).all() and 0 < table["clip p"]["wave"] < 0.05


def test_the_needed_number_of_clips_is_estimated():
    table = summarize(make_runs({"none": 0.6, "wave": 0.65}))
    advice = format_table(table).splitlines()[-1]
    [clips] = re.findall(r"about ([\d,]+) clips instead of 200", advice)
    assert int(clips.replace(",", "")) == pytest.approx(200 * (1.4 * table["clip margin"]["wave"] / 2) ** 2, rel=0.05)
    assert "runs" in advice
