"""Adaptive batch normalization: exact moments in float64, one batch or many, and models that cannot adapt."""

import copy

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from fastaudio_norm.audio import BadAudio
from fastaudio_norm.layers import GroupedSpecNorm
from fastaudio_norm.monitor import adapt_batchnorm, network_inputs
from fastaudio_norm.serve import SoundClassifier
from fastaudio_norm.train import WindowAverage


class Branches(nn.Module):
    "A residual branch whose batch normalization is declared before that of the layers in front of it."

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.side = nn.Sequential(nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6))
        self.main = nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(6), nn.Dropout(), nn.Linear(6, 2)
        )

    def forward(self, x):
        x = self.main(self.stem(x))
        return self.head(x + self.side(x))


def classifier_of(network, front=(), **kwargs):
    return SoundClassifier(front, network, ["cat", "dog"], 16000, **kwargs)


def moments(network):
    "Running mean and variance of each layer."
    return [(m.running_mean, m.running_var) for m in network.modules() if hasattr(m, "running_mean")]


def inputs(n, frames=9, seed=0):
    return list((torch.randn(n, 1, 8, frames, generator=torch.Generator().manual_seed(seed)) * 5 - 40).split(1))


def adapted(network, x, **options):
    classifier = classifier_of(copy.deepcopy(network))
    adapt_batchnorm(classifier, x, **options)
    return classifier.network


def assert_same(a, b, rtol=1e-4):
    for own, other in zip(moments(a), moments(b), strict=True):
        torch.testing.assert_close(own, other, rtol=rtol, atol=1e-5)


def test_the_first_layer_gets_the_moments_of_its_input():
    network, x = Branches(), inputs(5) + inputs(4, frames=21, seed=1)
    layer = adapted(network, x).main[0]
    with torch.no_grad():
        values = torch.cat([network.stem(clip).double().transpose(0, 1).flatten(1) for clip in x], 1).numpy()
    np.testing.assert_allclose(layer.running_mean, values.mean(1), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, values.var(1), rtol=1e-6)


def test_small_spreads_around_large_means_are_exact():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(72, 2))
    x = [clip * 1e-3 + 5000 for clip in inputs(6)]
    expected = torch.cat(x).double()
    layer = adapted(network, x, bs=1)[0]
    np.testing.assert_allclose(layer.running_var, [expected.var(correction=0)], rtol=1e-6)


def test_all_layers_agree_with_training_mode_on_a_single_batch():
    network, x = Branches(), inputs(6)
    peer = copy.deepcopy(network).train()
    seen = {}
    for m in peer.modules():
        if hasattr(m, "running_mean"):
            m.momentum = 1.0
            m.register_forward_pre_hook(lambda m, args: seen.update({m: args[0].numel() // args[0].shape[1]}))
    with torch.no_grad():
        peer(torch.cat(x))
    for m, n in seen.items():
        m.running_var *= (n - 1) / n  # PyTorch divides by n - 1, but normalizes by the division by n
    assert_same(adapted(network, x), peer)


def test_batch_size_and_order_do_not_matter():
    network, x = Branches(), inputs(7) + inputs(3, frames=20, seed=1)
    expected = adapted(network, x, bs=16)
    assert_same(adapted(network, x, bs=1), expected)
    assert_same(adapted(network, x[::-1], bs=3), expected)


def test_a_weight_blends_and_everything_else_stays():
    network, x = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(72, 2)), inputs(3)
    layer, live = adapted(network, x, weight=0.25)[0], torch.cat(x).double()
    mean, var = live.mean(), live.var(correction=0)
    torch.testing.assert_close(layer.running_mean.double()[0], 0.25 * mean)
    torch.testing.assert_close(layer.running_var.double()[0], 0.75 + 0.25 * var + 0.25 * 0.75 * mean**2)
    branches = Branches()
    for (name, before), after in zip(branches.state_dict().items(), adapted(branches, inputs(4)).state_dict().values()):
        assert torch.equal(before, after) != name.endswith(("running_mean", "running_var"))
    with pytest.raises(ValueError, match="`weight` must be above 0 and at most 1, got 1.5"):
        adapt_batchnorm(classifier_of(network), x, 1.5)


def test_models_that_cannot_adapt_are_refused():
    twice = nn.BatchNorm2d(1)
    for network, message in (
        (nn.Sequential(nn.Flatten(), nn.Linear(72, 2)), "Sequential has no batch normalization"),
        (nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten()), "has no batch normalization"),
        (nn.Sequential(twice, twice, nn.Flatten()), "applies a layer of batch normalization twice"),
    ):
        with pytest.raises(ValueError, match=message):
            adapted(network, inputs(3))
    network = Branches()
    before = copy.deepcopy(network)
    with pytest.raises(ValueError, match="at least two live values"):  # the head has one value for each clip
        adapt_batchnorm(classifier_of(network), inputs(1))
    assert_same(network, before, rtol=0)
    groups = GroupedSpecNorm((0, 2, 3), "zscore", (0, 1), [1, 1, 1, 1], ["a", "b"])
    with pytest.raises(ValueError, match="all groups"):
        adapt_batchnorm(classifier_of(network, [groups]), inputs(3))


class AsSpectrogram(nn.Module):
    def forward(self, x):
        return x.mean(1, keepdim=True)[..., None, :]


def test_inputs_of_files_are_those_of_prediction(tmp_path):
    network = nn.Sequential(nn.BatchNorm2d(1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    classifier = classifier_of(WindowAverage(network, 500), [AsSpectrogram()])
    rng = np.random.default_rng(0)
    for name, shape in {"a": (1000,), "b": (800, 2)}.items():
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-1, 1, shape), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "c.wav", np.zeros(900), 16000, subtype="FLOAT")
    (tmp_path / "d.wav").write_bytes(b"no audio")
    files = sorted(tmp_path.iterdir())
    x, skipped = network_inputs(classifier, files, "skip")
    assert [clip.shape[-1] for clip in x] == [1000, 800, 900] and list(skipped) == [str(files[3])]
    with pytest.raises(BadAudio, match="d.wav"):
        network_inputs(classifier, files)
    with pytest.raises(ValueError, match="All 1 live clips are silent"):
        network_inputs(classifier, files[2:3])
    with pytest.raises(ValueError, match="d.wav"):
        network_inputs(classifier, files[3:], "skip")
    adapt_batchnorm(classifier, x)
    assert not classifier.network.training and not any(t.is_inference() for t in classifier.state_dict().values())
