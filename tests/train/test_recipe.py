"""Ingredients of recipes, and their transforms."""

import pytest
import torch
from fastaudio.core.signal import AudioTensor
from fasttransform.transform import Pipeline
from torchaudio.functional import compute_deltas

from fastaudio_norm.audio import cached_clips
from fastaudio_norm.data import get_dls
from fastaudio_norm.train.recipe import RECIPES, Recipe, make_tfms, without

STRONG = RECIPES["strong"]


@pytest.fixture
def one_batch(df, made_up):
    clips = cached_clips(df, made_up)

    def make(recipe, norm="local", valid=False):
        item_tfms, batch_tfms = make_tfms(norm, recipe)
        tfms = {"item_tfms": item_tfms, "batch_tfms": batch_tfms}
        dls = get_dls(df, made_up, fold=1, bs=10, clips=clips, num_workers=0, **tfms)
        return (dls.valid if valid else dls.train).one_batch()[0].as_subclass(torch.Tensor)

    return make


def test_the_plain_recipe_adds_nothing_to_the_normalization(one_batch):
    assert torch.equal(one_batch(Recipe(), valid=True), one_batch(RECIPES["plain"], valid=True))
    assert one_batch(Recipe()).shape == (10, 1, 64, 16)


def test_speeds_crops_and_masks_do_not_change_validation(one_batch):
    plain = one_batch(Recipe(), valid=True)
    augment = [("freq-mixstyle",), ("microphone:12", "random-gain:10")]
    for change in (
        {"speeds": (0.8,), "crop": 0.25},
        {"crop": 0.25},
        {"masks": True},
        *({"augment": a} for a in augment),
    ):
        assert torch.equal(one_batch(Recipe(**change), valid=True), plain)
    assert one_batch(Recipe(crop=0.25)).shape[-1] == 8
    masked = one_batch(Recipe(masks=True))
    assert ((masked == masked[:, :, :, :1]).all(-1)).any()  # some bands are masked


def test_waveforms_are_normalized_after_a_simulated_recording():
    batch = AudioTensor(torch.randn(8, 1, 4000) * torch.logspace(-2, 0, 8)[:, None, None], sr=16000)

    def network_input(norm, augment=()):
        item_tfms, batch_tfms = make_tfms(norm, Recipe(augment=augment))
        clips = AudioTensor(torch.stack([Pipeline(item_tfms)(clip) for clip in batch]), sr=16000)
        return Pipeline(batch_tfms, split_idx=0)(clips)

    gain = ("random-gain:20",)
    torch.testing.assert_close(network_input("wave", gain), network_input("wave"), atol=1e-2, rtol=0)  # dB
    assert (network_input("none", gain) - network_input("none")).abs().max() > 5


def test_deltas_add_two_channels(one_batch):
    x = one_batch(Recipe(deltas=True), valid=True)
    assert x.shape == (10, 3, 64, 16) and torch.equal(x[:, :1], one_batch(Recipe(), valid=True))
    torch.testing.assert_close(x[:, 1:2], compute_deltas(x[:, :1], 9))  # of normalized values


def test_without_restores_the_plain_ingredient():
    assert without(STRONG, []) == STRONG
    ingredients = [name for name in Recipe._fields if getattr(STRONG, name) != getattr(Recipe(), name)]
    assert without(STRONG, ingredients) == Recipe()
    refused = [(STRONG, ["deltas"]), (STRONG, ["mixup", "mixup"]), (Recipe(), ["crop"]), (STRONG, ["sugar"])]
    for recipe, names in refused:
        with pytest.raises(ValueError, match=f"Cannot remove '{names[-1]}' from this recipe: "):
            without(recipe, names)
