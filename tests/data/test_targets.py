"""Kinds of target: what the values of a column say, and how loaders pass it on."""

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.data.block import CategoryBlock, DataBlock, RegressionBlock

from fastaudio_norm.data import find_target, get_dls, kind_of_loaders, parse_labels, read_clips


@pytest.mark.parametrize(
    "values, kind, is_reported",
    [
        (["dog", "cat"] * 20, "label", False),
        ([True, False] * 20, "label", False),
        (list(range(20)) * 2, "label", True),
        (list(range(40)), "numbers", True),
        ([str(i) for i in range(40)], "numbers", True),
        ([i / 2 for i in range(40)], "numbers", False),
        (["1", "2", "dog", "cat"] * 10, "label", False),
        (["dog;cat", "dog"] * 20, "labels", True),
        (["dog|cat", "dog"] * 20, "labels", True),
        (["Vacuum cleaner, hoover", "dog"] * 20, "label", False),
        ([["dog", "cat"], ["dog"]] * 20, "labels", False),
        ([np.array([1.0, 2.0])] * 40, "numbers", False),
    ],
)
def test_the_values_of_a_column_decide_and_doubts_are_reported(values, kind, is_reported):
    labels, note = parse_labels(pd.DataFrame({"x": pd.Series(values)}))
    assert find_target(pd.DataFrame({"label": labels})).kind == kind and bool(note) == is_reported
    assert not note or "--target" in note


@pytest.mark.parametrize("target", ["label", "labels", "numbers"])
def test_the_target_can_be_given(target):
    labels, note = parse_labels(pd.DataFrame({"x": ["1", "2", "1"]}), target)
    expected = {"label": ["1", "2", "1"], "labels": [("1",), ("2",), ("1",)], "numbers": [1.0, 2.0, 1.0]}
    assert labels.tolist() == expected[target] and not note


@pytest.mark.parametrize("labels", [[1, 2], ["a", 1.0], [1.0, np.nan], [("a",), (1.0,)], [(1.0,), (1.0, 2.0)], [None]])
def test_mixed_labels_are_refused(labels):
    with pytest.raises(ValueError, match="The labels of a table must all be"):
        find_target(pd.DataFrame({"label": pd.Series(labels, dtype=object if None in labels else None)}))


def test_loaders_return_the_targets_of_the_table(made_up):
    df = read_clips(made_up)
    kinds = {
        "label": (df.label, lambda label: df.label.unique().tolist().index(label)),
        "labels": (df.label.map(lambda x: (x, "a sound") if x < "f" else ()), None),
        "numbers": (df.index.to_series() / 7, None),
    }
    for kind, (labels, _) in kinds.items():
        table = df.assign(label=labels)
        dls = get_dls(table, made_up, fold=1, bs=50, num_workers=0)
        assert kind_of_loaders(dls) == kind
        y = dls.valid.one_batch()[1]
        valid = table.label[df.fold == 1].tolist()
        if kind == "label":
            assert [dls.vocab[i] for i in y] == valid
        elif kind == "labels":
            assert [{dls.vocab[i] for i in row.nonzero()[:, 0]} for row in y] == [set(label) for label in valid]
        else:
            assert y.tolist() == pytest.approx(valid)
    two = df.assign(label=[(i / 7, -i / 3) for i in range(len(df))])
    y = get_dls(two, made_up, fold=1, bs=50, num_workers=0).valid.one_batch()[1]
    assert y.shape == (10, 2) and torch.allclose(y[:, 1], -y[:, 0] * 7 / 3)


def test_loaders_of_other_data_blocks_tell_their_target():
    for block, kind in ((CategoryBlock, "label"), (RegressionBlock, "numbers")):
        dls = DataBlock((CategoryBlock, block)).dataloaders(list(range(10)), bs=2, num_workers=0)
        assert kind_of_loaders(dls) == kind
