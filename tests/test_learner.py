"""The single-channel network, and training it repeatedly."""

import re

import pytest
import torch
from fastai.vision.models.xresnet import xresnet18
from fastaudio.augment.spectrogram import DeltaGPU
from fastaudio.core.config import AudioConfig
from fastaudio.core.spectrogram import AudioToSpec
from torch import nn
from torchvision.models import resnet18

from fastaudio_norm.clips import cached_clips
from fastaudio_norm.data import get_dls
from fastaudio_norm.learner import make_xresnet_grayscale, spec_learner, train_loops, train_run
from fastaudio_norm.transforms import AudioNormalize, SpecNormalize


@pytest.fixture
def make_dls(df, made_up):
    clips = cached_clips(df, made_up)

    def make(*batch_tfms, item_tfms=(), to_spec=True):
        spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024, hop_length=512))
        tfms = [*([spec] if to_spec else []), *batch_tfms]
        return get_dls(df, made_up, bs=10, item_tfms=list(item_tfms), batch_tfms=tfms, clips=clips, num_workers=0)

    return make


@pytest.mark.parametrize("arch", [xresnet18, resnet18])
@pytest.mark.parametrize("n_in", [1, 2, 4])
def test_first_convolution_is_averaged_in_place(arch, n_in):
    model = arch()
    conv = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    average = conv.weight.detach().mean(1, keepdim=True)
    assert make_xresnet_grayscale(model, n_in) is model
    assert conv.weight.requires_grad and torch.equal(conv.weight, average.repeat(1, n_in, 1, 1))
    assert model.eval()(torch.randn(2, n_in, 64, 64)).shape == (2, 1000)
    kept = conv.weight
    assert make_xresnet_grayscale(model, n_in) is model and conv.weight is kept


def test_networks_that_cannot_be_adapted():
    with pytest.raises(ValueError, match="no nn.Conv2d"):
        make_xresnet_grayscale(nn.Linear(3, 4))
    with pytest.raises(ValueError, match="3 groups"):
        make_xresnet_grayscale(nn.Sequential(nn.Conv2d(3, 3, 3, groups=3)))


def test_spec_learner_fits_its_loaders(make_dls):
    learn = spec_learner(make_dls(DeltaGPU()))
    assert learn.model[0][0].in_channels == 3 and learn.model[-1].out_features == 10
    assert spec_learner(make_dls(), num_cls=50).model[-1].out_features == 50
    with pytest.raises(ValueError, match="AudioToSpec"):
        spec_learner(make_dls(to_spec=False))


def first_weights(learn):
    return next(learn.model.parameters()).detach().clone()


def test_runs_are_reproducible_and_paired(make_dls):
    "The same seed, the same initial weights and order of clips, whatever the normalization and whatever came before."
    starts, orders, losses = [], [], []
    for tfms in ([], [SpecNormalize()], []):
        dls = make_dls(*tfms, item_tfms=[AudioNormalize] if tfms else [])
        torch.rand(3)
        for seed in (5, 6):
            learn = train_run(dls, epochs=1, seed=seed, lr=0)
            starts.append(first_weights(learn))
            orders.append(dls.train.rng.getstate())
            losses.append(learn.recorder.values[-1][0])
    assert torch.equal(starts[0], starts[2]) and torch.equal(starts[1], starts[3])
    assert not torch.equal(starts[0], starts[1])
    assert orders[0] == orders[2] == orders[4] != orders[1]
    assert losses[:2] == losses[4:] and losses[0] != losses[2]


def test_train_loops_prints_and_returns_the_mean(make_dls, capsys):
    dls = make_dls(SpecNormalize())
    mean = train_loops(dls, "global", num_runs=2, epochs=1)
    runs = [train_run(dls, epochs=1, seed=seed).recorder.values[-1][-1] for seed in (0, 1)]
    assert mean == pytest.approx(sum(runs) / 2)
    assert re.search(rf"global: mean accuracy {mean:.4f} .* 2 runs of 1 epochs", capsys.readouterr().out)
