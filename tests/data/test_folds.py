"""`CrossValidationSplitter`: one fold validates, all others train."""

import pandas as pd
import pytest

from fastaudio_norm.data.folds import CrossValidationSplitter, check_training_classes


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
