"""Plot of the differences from a baseline."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from fastaudio_norm.comparison import plot_differences, summarize


def points(figure):
    "Place and fill colour of each point, by legend."
    found = {}
    for drawn in figure.axes[0].collections:
        if drawn.get_label() in ("unchanged clips", "mean of all changes"):
            found[drawn.get_label()] = drawn.get_offsets()[:, 0].tolist(), drawn.get_facecolor()
    plt.close(figure)
    return found


def test_points_are_the_differences_of_the_clips(results):
    third = results[results.norm == "wave"].assign(norm="global", predicted=[[0, 1] * 5] * 2, score=1.0)
    results = pd.concat([results, third]).reset_index(drop=True)
    figure = plot_differences(results, "a $ b")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["wave", "global"]
    assert "difference from none: accuracy (points)" in figure.axes[0].get_xlabel()
    [(x, _)] = points(figure).values()
    assert x == pytest.approx([15, 40])


def test_only_significant_points_are_filled():
    rng, rows = np.random.default_rng(0), []
    for norm, share in {"none": 0.5, "same": 0.5, "better": 0.95}.items():
        for fold in range(5):
            right = [(rng.random(100) < s).astype(int) for s in (0.5, share)]
            changed = {"gain:-20": {"score": right[1].mean(), "predicted": right[1].tolist()}}
            rows.append((norm, fold, 0, right[0].mean(), [1] * 100, right[0].tolist(), changed))
    columns = ["norm", "fold", "run", "score", "truth", "predicted", "conditions"]
    found = points(plot_differences(pd.DataFrame(rows, columns=columns)))
    x, fills = found["mean of all changes"]
    assert x[1] > 30 and [tuple(fill[:3]) == (1, 1, 1) for fill in fills] == [True, False]
    assert (found["unchanged clips"][1][:, :3] == 1).all()


def test_scores_of_folds_where_clips_have_no_accuracy(results):
    pairs = [[[1, 0], [0, 1]]] * 4
    results = results.assign(truth=pairs, predicted=pairs)
    results.attrs["target"] = "numbers"
    results.attrs["metric"] = {"name": "R²", "higher_is_better": True, "percent": False}
    figure = plot_differences(results)
    assert "difference from none: R²" in figure.axes[0].get_xlabel()
    assert points(figure)["unchanged clips"][0] == pytest.approx(summarize(results)["vs none"]["wave"])


def test_a_baseline_and_another_normalization_are_necessary(results):
    for norm in ("none", "wave"):
        some = results[results.norm == norm]
        some.attrs = results.attrs | {"baseline": "none" if norm == "none" else None}
        with pytest.raises(ValueError, match="a baseline and of at least one other"):
            plot_differences(some)
