"""Training on several labels and on numbers, with functions in place of named networks."""

import numpy as np
import pytest
import torch
from torch import nn

from fastaudio_norm.audio import cached_clips
from fastaudio_norm.data import get_dls, read_clips
from fastaudio_norm.serve import SoundClassifier, as_pipeline
from fastaudio_norm.train import Recipe, WindowAverage, make_tfms, train_run

LABELS = {
    "label": lambda df: df.label,
    "labels": lambda df: df.label.map(lambda label: (label, "low") if label < "f" else (label,)),
    "numbers": lambda df: df.index / 7,
}


def tiny(n_out):
    layers = nn.Conv2d(1, 8, 5, 2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(128, n_out))


@pytest.fixture
def train(made_up):
    df = read_clips(made_up)
    clips = cached_clips(df, made_up)

    def run(labels, recipe=Recipe(epochs=1)):  # noqa: B008
        item_tfms, batch_tfms = make_tfms("channel", recipe)
        tfms = {"item_tfms": item_tfms, "batch_tfms": batch_tfms}
        dls = get_dls(df.assign(label=labels(df)), made_up, 1, bs=10, clips=clips, num_workers=0, **tfms)
        learn = train_run(dls, recipe, tiny, bfloat16=False)
        with learn.no_bar():
            return learn, *(x.double().numpy() for x in learn.get_preds())

    return run


@pytest.mark.parametrize("kind", LABELS)
def test_each_target_trains_with_all_ingredients_and_survives_the_model_file(kind, train, tmp_path):
    recipe = Recipe(epochs=1, crop=0.25, mixup=0.4, speeds=(0.9, 1.0), masks=True)
    learn, outputs, _ = train(LABELS[kind], recipe)
    assert isinstance(learn.model, WindowAverage) and np.isfinite(learn.recorder.values[-1]).all()
    total = outputs.sum(1)
    assert kind == "numbers" or (np.allclose(total, 1, atol=1e-5) == (kind == "label"))
    as_pipeline(learn).save(tmp_path / "model.safetensors")
    model = SoundClassifier.load(tmp_path / "model.safetensors", tiny)
    clip = torch.randn(1, 1, 8000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(clip), as_pipeline(learn)(clip)) and model.target == kind


def test_the_unit_of_a_number_does_not_change_the_training(train):
    (first, p, t), (second, q, u) = (train(labels) for labels in (LABELS["numbers"], lambda df: 1000.0 + df.index))
    np.testing.assert_allclose(u, 1000 + 7 * t, rtol=1e-5)
    np.testing.assert_allclose((q - 1000) / 7, p, atol=1e-3)
    losses = [learn.recorder.values[-1][0] for learn in (first, second)]  # of validation, by `get_preds`
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_numbers_are_scaled_by_those_of_the_training_clips(train):
    plain, _, _ = train(LABELS["numbers"])
    changed, _, _ = train(lambda df: (df.index / 7).where(df.fold != 1, 1e6))
    training = np.array([float(y) for y in plain.dls.train_ds.tls[-1]])
    for learn in (plain, changed):
        assert learn.model.mean.item() == pytest.approx(training.mean(), rel=1e-5)
        assert learn.model.std.item() == pytest.approx(training.std(), rel=1e-5)
