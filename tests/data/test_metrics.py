"""Metrics: those of scikit-learn and fastai, over all validation clips."""

import numpy as np
import pytest
import sklearn.metrics
import torch
from fastai.metrics import F1Score, accuracy, mae
from torch import nn

from fastaudio_norm.audio import cached_clips, make_spec
from fastaudio_norm.data import METRICS, Metric, as_fastai, find_metric, get_dls, read_clips
from fastaudio_norm.train import spec_learner


def tiny(n_out):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, n_out))


def learner(made_up, labels, metrics=None):
    df = read_clips(made_up)
    df, clips = df.assign(label=labels(df)), cached_clips(df, made_up)
    dls = get_dls(df, made_up, 1, bs=4, batch_tfms=[make_spec()], clips=clips, num_workers=0)  # the last batch has 2
    return spec_learner(dls, tiny, metrics)


def value_on(made_up, labels, metric, kind):
    learn = learner(made_up, labels, as_fastai(find_metric(metric, kind), kind))
    with learn.no_bar(), learn.no_logging():
        return learn.validate()[1], *(x.numpy() for x in learn.get_preds())


@pytest.mark.parametrize(
    "metric, expected",
    [
        ("accuracy", sklearn.metrics.accuracy_score),
        ("balanced accuracy", sklearn.metrics.balanced_accuracy_score),
        ("macro-f1", lambda t, p: sklearn.metrics.f1_score(t, p, average="macro")),
        (sklearn.metrics.cohen_kappa_score, sklearn.metrics.cohen_kappa_score),
        (Metric("share of 3", lambda t, p: np.mean(p == 3)), lambda t, p: np.mean(p == 3)),
        (accuracy, sklearn.metrics.accuracy_score),
        (F1Score(average="micro"), sklearn.metrics.accuracy_score),
    ],
)
def test_scores_equal_those_of_all_predictions_together(metric, expected, made_up):
    value, outputs, truth = value_on(made_up, lambda df: df.label, metric, "label")
    assert value == pytest.approx(expected(truth, outputs.argmax(1)), abs=1e-6)


@pytest.mark.parametrize("metric", [None, "macro F1"])
def test_scores_of_several_labels(metric, made_up):
    value, p, t = value_on(made_up, lambda df: df.label.map(lambda x: ("low", x)), metric, "labels")
    occurs = t.any(0)
    exact = {
        None: np.mean([sklearn.metrics.average_precision_score(t[:, i], p[:, i]) for i in np.flatnonzero(occurs)]),
        "macro F1": np.mean([
            sklearn.metrics.f1_score(t[:, i], p[:, i] > 0.5) for i in np.flatnonzero(occurs | (p > 0.5).any(0))
        ]),
    }  # fmt: skip
    assert value == pytest.approx(exact[metric])


@pytest.mark.parametrize(
    "metric, exact", [(None, "mean_absolute_error"), ("r2", "r2_score"), (mae, "mean_absolute_error")]
)
def test_scores_of_numbers(metric, exact, made_up):
    value, p, t = value_on(made_up, lambda df: 100 + df.index / 7, metric, "numbers")
    assert value == pytest.approx(getattr(sklearn.metrics, exact or "mean_absolute_error")(t, p[:, 0]), rel=1e-4)


def test_the_direction_of_a_function_follows_from_its_name():
    lower = [sklearn.metrics.max_error, sklearn.metrics.hamming_loss, mae, "mean absolute error"]
    higher = [sklearn.metrics.r2_score, sklearn.metrics.cohen_kappa_score, accuracy, "r2"]
    assert not any(find_metric(m, "numbers").higher_is_better for m in lower)
    assert all(find_metric(m, "numbers").higher_is_better for m in higher)


@pytest.mark.parametrize("kind", METRICS)
def test_perfect_predictions_have_the_best_score(kind):
    t = np.eye(4, dtype=int)[:, [0, 1, 2]] if kind == "labels" else np.arange(4)
    for metric in METRICS[kind].values():
        assert metric.function(t, t.astype(float) if kind != "label" else t) == (1 if metric.higher_is_better else 0)


@pytest.mark.parametrize(
    "labels", [lambda df: df.label, lambda df: df.label.map(lambda x: (x,)), lambda df: df.index / 7]
)
def test_a_diverged_network_has_no_score(labels, made_up):
    learn = learner(made_up, labels)
    with torch.no_grad():
        next(learn.model.parameters()).fill_(torch.nan)
    with learn.no_bar(), learn.no_logging():
        assert np.isnan(learn.validate()[1])
