"""Learners for spectrograms, and repeated training."""

import gc
import re
import weakref
from functools import partial

import pytest
import torch
from fastaudio.augment.spectrogram import DeltaGPU
from fastaudio.core.config import AudioConfig
from fastaudio.core.spectrogram import AudioToSpec
from support import SMALL_ARCH
from torch import nn

from fastaudio_norm.audio import cached_clips, make_spec
from fastaudio_norm.data import get_dls
from fastaudio_norm.train.learner import bfloat16_training, spec_learner, train_loops, train_run
from fastaudio_norm.train.models import WindowAverage, find_arch
from fastaudio_norm.train.recipe import Recipe
from fastaudio_norm.transforms import AudioNormalize, SpecNormalize

small_run = partial(train_run, arch=SMALL_ARCH)


@pytest.fixture
def make_dls(df, made_up):
    clips = cached_clips(df, made_up)

    def make(*batch_tfms, item_tfms=(), to_spec=True):
        spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024, hop_length=512))
        tfms = [*([spec] if to_spec else []), *batch_tfms]
        return get_dls(df, made_up, bs=10, item_tfms=list(item_tfms), batch_tfms=tfms, clips=clips, num_workers=0)

    return make


def test_the_network_fits_the_channels_and_classes_of_its_loaders(make_dls):
    learn = spec_learner(make_dls(DeltaGPU()))
    assert learn.model[0][0].in_channels == 3 and learn.model[-1].out_features == 10
    assert spec_learner(make_dls(), num_cls=50).model[-1].out_features == 50
    with pytest.raises(ValueError, match="add AudioToSpec to batch_tfms"):
        spec_learner(make_dls(to_spec=False))


@pytest.mark.parametrize("arch", ["xresnet34", "resnet18", "efficientnet_b0", "googlenet", "resnet10t"])
def test_networks_of_fastai_torchvision_and_timm_are_found_by_name(arch, make_dls):
    if arch == "resnet10t":
        pytest.importorskip("timm", reason="timm is not installed")
    learn = spec_learner(make_dls(), arch)
    model, x = learn.model, learn.dls.one_batch()[0]
    assert next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels == 1
    assert model.training and model(x).shape == (10, 10)


def test_networks_that_cannot_process_the_spectrograms_are_refused(make_dls):
    message = r"VisionTransformer does not accept spectrograms of shape \[1, 32, \d+\]: Wrong image"
    with pytest.raises(ValueError, match=message):
        spec_learner(make_dls(), "vit_b_32")


def test_training_in_bfloat16_evaluates_in_float32(make_dls):
    learn, single = (small_run(make_dls(SpecNormalize()), Recipe(epochs=2), bfloat16=b) for b in (True, False))
    losses, expected = ([epoch[0] for epoch in run.recorder.values] for run in (learn, single))
    assert losses != expected and losses == pytest.approx(expected, rel=0.1)
    assert {p.dtype for p in learn.model.parameters()} == {torch.float32}
    x = learn.dls.valid.one_batch()[0]
    assert type(learn.model).forward(learn.model.eval(), x).equal(learn.model(x)) and "forward" not in vars(learn.model)
    recorded = learn.recorder.values[-1][1:]
    with learn.no_bar(), learn.no_logging():
        assert list(learn.validate()) == pytest.approx(recorded, abs=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 5, 16, 40])
def test_narrow_spectrograms_train_in_bfloat16_as_in_float32(frames):
    torch.manual_seed(0)
    model = find_arch("xresnet18")(n_out=10).to(memory_format=torch.channels_last)
    x = torch.randn(10, 3, 32, frames).contiguous(memory_format=torch.channels_last)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d) and max(m.stride) > 1]
    for conv in convs:
        inputs = torch.randn(10, conv.in_channels, 4, frames).contiguous(memory_format=torch.channels_last)
        conv.requires_grad_(True).zero_grad()
        weights = torch.randn_like(conv(inputs))
        (conv(inputs) * weights).sum().backward()
        expected, conv.weight.grad = conv.weight.grad, None
        with bfloat16_training(conv, x.device):
            torch.full((1 << 20,), torch.nan)  # memory that the convolution may get
            (conv(inputs) * weights).sum().backward()
        assert (conv.weight.grad - expected).abs().max() < 0.05 * expected.abs().max()
    with bfloat16_training(model, x.device):
        model(x).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_interrupted_training_in_bfloat16_leaves_no_trace(make_dls):
    models = []

    def stop(learn):
        models.append(learn.model)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_run(make_dls(), Recipe(epochs=2), each_epoch=stop, bfloat16=True)
    assert "forward" not in vars(models[0]) and not torch.is_autocast_enabled("cpu")


def test_mixup_and_windows_follow_the_recipe(make_dls):
    dls = make_dls()
    frames = dls.one_batch()[0].shape[-1]
    plain = small_run(dls, Recipe(epochs=1))
    strong = small_run(dls, Recipe(epochs=1, mixup=0.4, crop=0.25))
    assert isinstance(strong.model, WindowAverage) and strong.model.frames == frames
    assert not isinstance(plain.model, WindowAverage)
    assert strong.recorder.values[0][0] != plain.recorder.values[0][0]  # mixup changes the losses


def first_weights(learn):
    return next(learn.model.parameters()).detach().clone()


def test_runs_are_reproducible_and_paired(make_dls):
    "The seed alone decides initial weights and order of clips: neither the normalization nor earlier runs change them."
    starts, orders, losses = [], [], []
    for tfms in ([], [SpecNormalize()], []):
        dls = make_dls(*tfms, item_tfms=[AudioNormalize] if tfms else [])
        torch.rand(3)
        for seed in (5, 6):
            learn = small_run(dls, Recipe(epochs=1, lr=0), seed=seed)
            starts.append(first_weights(learn))
            orders.append(dls.train.rng.getstate())
            losses.append(learn.recorder.values[-1][0])
    assert torch.equal(starts[0], starts[2]) and torch.equal(starts[1], starts[3])
    assert not torch.equal(starts[0], starts[1])
    assert orders[0] == orders[2] == orders[4] != orders[1]
    assert losses[:2] == losses[4:] and losses[0] != losses[2]


def test_the_scale_of_the_input_does_not_change_the_loss(make_dls):
    "Batch normalization undoes the scale, also in evaluation and after a few batches."
    losses = []
    for scale in (1.0, 8.0):
        learn = small_run(make_dls(SpecNormalize(0.0, scale)), Recipe(epochs=1), bfloat16=False)
        losses.append(learn.recorder.values[0][1])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_batch_normalization_uses_the_average_of_the_last_epoch(make_dls):
    dls = make_dls(SpecNormalize())
    learn = spec_learner(dls, lr=0)
    conv, norm = learn.model[0][0], learn.model[0][1]
    means, variances = [], []
    with torch.no_grad():
        for x, _ in dls.train:
            y = conv(x.as_subclass(torch.Tensor))
            means.append(y.mean((0, 2, 3)))
            variances.append(y.var((0, 2, 3)))
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0), rtol=1e-4, atol=1e-5)
    # The second epoch has other batches than the loop above, so the variances differ a little.
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0), rtol=0.1, atol=0.0)


def test_the_each_epoch_function_is_called_once_per_epoch(make_dls):
    calls = []
    learn = small_run(make_dls(), Recipe(epochs=2), each_epoch=calls.append)
    with learn.no_bar():
        learn.get_preds()
    assert len(calls) == 2


def test_networks_of_earlier_runs_are_freed(make_dls):
    dls, models = make_dls(), []
    gc.disable()
    try:
        for seed in range(3):
            models.append(weakref.ref(small_run(dls, Recipe(epochs=1), seed=seed).model))
            assert not any(model() for model in models[:-1])
        train_loops(dls, "none", num_runs=1, epochs=1)
        assert not any(model() for model in models)
    finally:
        gc.enable()


def test_train_loops_prints_and_returns_the_mean_accuracy(make_dls, capsys):
    dls = make_dls(SpecNormalize())
    mean = train_loops(dls, "global", num_runs=2, epochs=1)
    runs = [train_run(dls, Recipe(epochs=1), seed=seed).recorder.values[-1][-1] for seed in (0, 1)]
    assert mean == pytest.approx(sum(runs) / 2)
    assert re.search(rf"global: mean accuracy {mean:.4f} .* 2 runs of 1 epochs", capsys.readouterr().out)


def test_too_few_clips_for_one_batch_are_reported(df, made_up):
    dls = get_dls(df, made_up, bs=64, batch_tfms=[make_spec("mel")], num_workers=0)
    with pytest.raises(ValueError, match="at least 64 training clips, one batch, got 40: .* smaller `bs`"):
        spec_learner(dls)
