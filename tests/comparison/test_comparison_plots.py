"""Plots of a comparison."""

import matplotlib.pyplot as plt
import pytest

from fastaudio_norm.comparison.plots import plot_comparison, plot_confusion, plot_curves


def test_the_plot_has_one_point_per_run(results):
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


def test_the_confusion_matrix_has_the_counts(results):
    ax = plot_confusion(results, "none").axes[0]
    assert sorted(int(t.get_text()) for t in ax.texts) == [3, 5, 5, 7]
    plt.close("all")


@pytest.mark.parametrize("name", ["$x$", "a $ b $c_$", "$\\frac$"])
def test_names_with_dollar_signs_are_drawn(name, results):
    results.attrs["classes"] = [name, "dog"]
    for figure in (plot_comparison(results, name), plot_confusion(results, "none")):
        figure.canvas.draw()
        plt.close(figure)
