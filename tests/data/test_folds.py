"""`CrossValidationSplitter`: one fold validates, all others train; and folds for tables without any."""

import numpy as np
import pandas as pd
import pytest

from fastaudio_norm.data.folds import (
    CrossValidationSplitter,
    assign_folds,
    check_folds,
    check_training_classes,
    validation_folds,
)


def test_every_fold_validates_each_item_once(df):
    valid = []
    for fold in range(1, 6):
        train, of_fold = CrossValidationSplitter(fold=fold)(df)
        assert sorted(train + of_fold) == list(range(len(df)))
        assert set(df.fold.iloc[of_fold]) == {fold} and fold not in set(df.fold.iloc[train])
        valid += of_fold
    assert sorted(valid) == list(range(len(df)))


@pytest.mark.parametrize(
    "splitter, items, error, message",
    [
        (CrossValidationSplitter(), ["a"], TypeError, "got a list"),
        (CrossValidationSplitter(col="part"), pd.DataFrame({"fold": [1]}), KeyError, r"'part'.*\['fold'\]"),
        (CrossValidationSplitter(fold=3), pd.DataFrame({"fold": [1, 2]}), ValueError, r"no validation items.*\[1, 2\]"),
        (CrossValidationSplitter(fold=1), pd.DataFrame({"fold": [1, 1]}), ValueError, "no training items"),
    ],
)
def test_splitter_names_the_mistake(splitter, items, error, message):
    with pytest.raises(error, match=message):
        splitter(items)


def test_a_class_without_training_clips_is_named_with_its_fold():
    df = pd.DataFrame({"fold": [1, 1, 2, 2, 3], "category": ["cat", "owl", "cat", "emu", "emu"]})
    check_training_classes(df, [2, 3])
    for folds in ([1], [3, 1]):
        with pytest.raises(ValueError, match="Fold 1 has all clips of owl: .*at least two folds"):
            check_training_classes(df, folds)


def random_table(seed):
    "Table of 60 to 120 clips with groups of up to five, a random kind of label, and a name for the kind."
    rng = np.random.default_rng(seed)
    n, kind = int(rng.integers(60, 120)), ["label", "labels", "numbers", "several numbers"][seed % 4]
    names = rng.choice(["cat", "dog", "owl", "emu"], n, p=[0.5, 0.25, 0.15, 0.1])
    label = {
        "label": list(names),
        "labels": [tuple(sorted({a, "air"} if rng.random() < 0.5 else {a})) for a in names],
        "numbers": list(rng.normal(size=n)),
        "several numbers": [tuple(rng.normal(size=2)) for _ in range(n)],
    }
    return pd.DataFrame({"label": pd.Series(label[kind]), "group": [f"g{i // 3}" for i in range(n)]}), kind


@pytest.mark.parametrize("seed", range(8))
def test_new_folds_divide_the_clips_and_keep_groups_together(seed):
    df, kind = random_table(seed)
    n = 2 + seed % 4
    for table in (df, df.drop(columns="group")):
        made = assign_folds(table, n, seed)
        assert sorted(made.fold.unique()) == list(range(1, n + 1)) and made.drop(columns="fold").equals(table)
        assert made.equals(assign_folds(table, n, seed)) and not made.equals(assign_folds(table, n, seed + 1))
        sizes = made.fold.value_counts()
        assert sizes.max() <= 1.5 * sizes.min() + 3
        if "group" in table:
            assert made.groupby("group").fold.nunique().eq(1).all()
        elif kind == "label":
            counts = pd.crosstab(made.label, made.fold)
            assert (counts.max(axis=1) - counts.min(axis=1)).le(1).all()
        elif kind == "numbers":
            assert made.groupby("fold").label.mean().std() < 0.2  # 0.26 without balance


@pytest.mark.parametrize(
    "table, n, message",
    [
        ({"label": ["a"] * 9 + ["b"] * 3}, 5, r"at least 5 clips of each class, got fewer of b \(3\)"),
        ({"label": ["a"] * 9, "group": ["x", "y", "z"] * 3}, 5, "5 folds need at least 5 groups, got 3"),
        ({"label": ["a"] * 6 + ["b"] * 3, "group": list("uuvvwwzzz")}, 2, r"at least 2 groups .* got fewer of b \(1\)"),
        ({"label": [("a",)] * 5 + [("a", "b")]}, 2, r"at least 2 clips .* got fewer of b \(1\)"),
        ({"label": [1.0, 2.0]}, 3, "3 folds need at least 3 clips, got 2"),
        ({"label": ["a"] * 9}, 1, "at least 2 folds, got 1"),
    ],
)
def test_too_few_clips_for_folds_are_refused(table, n, message):
    with pytest.raises(ValueError, match=message):
        assign_folds(pd.DataFrame({"label": pd.Series(table.pop("label")), **table}), n)


def test_folds_are_found_by_name_and_a_split_validates_on_one_part():
    df = pd.DataFrame({"fold": ["A", "B", "1"]})
    assert check_folds(df, ["B", 1]) == ["B", "1"] and validation_folds(df) == ["1", "A", "B"]
    assert validation_folds(pd.DataFrame({"fold": ["valid", "train"]})) == ["valid"]
    with pytest.raises(ValueError, match=r"No fold C; the table has the folds \['1', 'A', 'B'\]"):
        check_folds(df, ["C"])
