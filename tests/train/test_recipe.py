"""Recipes: what each ingredient does to the data, and to the comparison."""

import pytest
import torch
from torchaudio.functional import compute_deltas

from fastaudio_norm.audio.cache import cached_clips
from fastaudio_norm.audio.spectrograms import SAMPLE_RATE
from fastaudio_norm.comparison.run import compare
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.train.recipe import RECIPES, Recipe, make_tfms, without

STRONG = RECIPES["strong"]


@pytest.fixture
def one_batch(df, made_up):
    clips = cached_clips(df, made_up)

    def make(recipe, norm="local", valid=False):
        dls = get_dls(df, made_up, 1, 10, *make_tfms(norm, recipe), SAMPLE_RATE, clips, num_workers=0)
        return (dls.valid if valid else dls.train).one_batch()[0].as_subclass(torch.Tensor)

    return make


def test_the_plain_recipe_is_the_normalization_alone(one_batch):
    assert torch.equal(one_batch(Recipe(), valid=True), one_batch(RECIPES["plain"], valid=True))
    assert one_batch(Recipe()).shape == (10, 1, 64, 16)


def test_what_only_training_has(one_batch):
    "Speeds, crops and masks leave validation alone."
    plain = one_batch(Recipe(), valid=True)
    for change in ({"speeds": (0.8,), "crop": 0.25}, {"crop": 0.25}, {"masks": True}):
        assert torch.equal(one_batch(Recipe(**change), valid=True), plain)
    assert one_batch(Recipe(crop=0.25)).shape[-1] == 8
    masked = one_batch(Recipe(masks=True))
    assert ((masked == masked[:, :, :, :1]).all(-1)).any()  # whole bands of one value


def test_deltas_are_two_more_channels(one_batch):
    x = one_batch(Recipe(deltas=True), valid=True)
    assert x.shape == (10, 3, 64, 16) and torch.equal(x[:, :1], one_batch(Recipe(), valid=True))
    torch.testing.assert_close(x[:, 1:2], compute_deltas(x[:, :1], 9))  # so of normalized values


def test_without_takes_the_plain_ingredient():
    assert without(STRONG, []) == STRONG
    assert (
        without(STRONG, [name for name in Recipe._fields if getattr(STRONG, name) != getattr(Recipe(), name)])
        == Recipe()
    )
    for recipe, names in (
        (STRONG, ["deltas"]),
        (STRONG, ["mixup", "mixup"]),
        (Recipe(), ["crop"]),
        (STRONG, ["sugar"]),
    ):
        with pytest.raises(ValueError, match=f"no '{names[-1]}' to leave out"):
            without(recipe, names)


@pytest.mark.parametrize("norm", ["pcen", "channel"])
def test_the_strong_recipe_compares(norm, made_up):
    "Twice the same, for its randomness comes from the seed."
    recipe = STRONG._replace(epochs=1, crop=0.25, deltas=norm == "channel")
    first, again = (compare(made_up, [norm], folds=[1], recipe=recipe, bs=16) for _ in range(2))
    assert first.curve[0] == again.curve[0] and first.predicted[0] == again.predicted[0]
