"""Comparisons with learners that users make."""

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock
from fastai.data.transforms import ColReader
from fastai.learner import Learner
from fastai.metrics import F1Score, accuracy_multi, mae
from fastaudio.core.config import AudioBlock
from sklearn.metrics import f1_score

from fastaudio_norm.comparison import compare_learners
from fastaudio_norm.data import CrossValidationSplitter, read_esc50
from fastaudio_norm.train import Recipe

OPTIONS = {"norms": ["none", "wave+channel"], "folds": [1], "recipe": Recipe(epochs=1)}
BLOCKS = {
    "label": (CategoryBlock, lambda row: row.category),
    "labels": (MultiCategoryBlock, lambda row: [row.category, "odd" if row.target % 2 else "even"]),
    "numbers": (RegressionBlock(2), lambda row: torch.tensor([float(row.target), 1.0])),
}


class Levels(torch.nn.Module):
    "Network that sees the mean of each frequency bin."

    def __init__(self, n_bins, n_out, bias=True):
        super().__init__()
        self.linear = torch.nn.Linear(n_bins, n_out, bias)

    def forward(self, x):
        return self.linear(x.mean((1, 3)))


def make_dls(path, tfms, fold, kind):
    block, get_y = BLOCKS[kind]
    df = read_esc50(path)
    get_x = ColReader("filename", pref=path / "audio")
    splitter = CrossValidationSplitter(fold=fold)
    return DataBlock((AudioBlock, block), get_x=get_x, get_y=get_y, splitter=splitter, **tfms).dataloaders(
        df, bs=16, num_workers=0
    )


@pytest.mark.parametrize(
    "kind, metric, n", [("label", F1Score(average="macro"), 10), ("labels", accuracy_multi, 12), ("numbers", mae, 2)]
)
def test_targets_and_metrics_of_any_kind(kind, metric, n, made_up):
    def make_learner(tfms, fold):
        return Learner(make_dls(made_up, tfms, fold, kind), Levels(64, n), metrics=[metric, metric])

    results = compare_learners(make_learner, **OPTIONS)
    attrs, row = results.attrs, results.iloc[1]
    assert attrs["target"] == kind and len(attrs["classes"]) == n and attrs["valid_per_train"] == 0.25
    assert attrs["metric"]["higher_is_better"] == (kind != "numbers") and np.isfinite(results.score).all()
    truth, predicted = np.array(row.truth), np.array(row.predicted)
    scores = {
        "label": lambda: f1_score(truth, predicted, average="macro"),
        "labels": lambda: np.mean(truth == (predicted > 0.5)),
        "numbers": lambda: np.abs(truth - predicted).mean(),
    }
    assert row.score == pytest.approx(scores[kind](), abs=1e-5) and len(truth) == 10
    again = compare_learners(make_learner, **{**OPTIONS, "norms": ["wave+channel"]})  # after no other run
    assert again.iloc[0].to_dict() == row.to_dict()


def test_all_normalizations_start_from_the_same_weights(made_up):
    seen = []

    class Weights(Callback):
        def before_fit(self):
            if hasattr(self.learn, "gather_preds"):  # the predictions after the training
                return
            seen.append((self.model.linear.weight.tolist(), [b[1].tolist() for b in self.dls.train]))

    def make_learner(tfms, fold):
        return Learner(make_dls(made_up, tfms, fold, "label"), Levels(64, 10), metrics=F1Score(average="macro"))

    compare_learners(make_learner, **{**OPTIONS, "runs": 2}, cbs=lambda norm, fold, run: Weights())
    assert len(seen) == 4 and seen[0] == seen[2] and seen[1] == seen[3] and seen[0] != seen[1]


def test_another_function_or_learner_gets_another_file(made_up, tmp_path):
    bias = True

    def make_learner(tfms, fold):
        network = Levels(64, 10, bias)
        return Learner(make_dls(made_up, tfms, fold, "label"), network, metrics=F1Score(average="macro"))

    def other_text(tfms, fold):
        return make_learner(tfms, fold)

    def fit(learn):
        learn.fit(1)

    def file(function=make_learner, **other):
        return compare_learners(function, ["none"], [1], recipe=Recipe(epochs=1), out=tmp_path, **other).attrs["file"]

    files = [file(), file(other_text), file(settings={"augmentation": 0.5}), file(seed=1), file(fit=fit)]
    assert len(set(files)) == 5 and file() == files[0]
    bias = False  # the text of the function is the same
    assert file() not in files


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda learn: None, "must return a Learner, got None"),
        (lambda learn: setattr(learn, "metrics", []) or learn, "must have a metric"),
        (lambda learn: learn.dls.after_batch.fs.clear() or learn, "must apply AudioToSpec"),
    ],
)
def test_learners_that_cannot_be_compared_are_refused(change, message, made_up):
    def make_learner(tfms, fold):
        return change(Learner(make_dls(made_up, tfms, fold, "label"), Levels(64, 10), metrics=F1Score(average="macro")))

    with pytest.raises(ValueError, match=message):
        compare_learners(make_learner, **OPTIONS)


def test_anything_but_a_function_is_refused():
    with pytest.raises(ValueError, match="`make_learner` must be a function"):
        compare_learners(Learner)
