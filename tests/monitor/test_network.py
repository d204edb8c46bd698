"""Features and outputs that a network computes for files, of every kind of target, network and file."""

import numpy as np
import pytest
import soundfile
import torch
from network_support import Level, level_model
from torch import nn

from fastaudio_norm.layers import GroupedSpecNorm
from fastaudio_norm.monitor import network_clips
from fastaudio_norm.serve import ExportedModel, SoundClassifier, load_model
from fastaudio_norm.train import ScaledOutput, WindowAverage


def write(folder, name, samples, rate=8000):
    soundfile.write(folder / name, samples, rate, subtype="FLOAT")
    return folder / name


@pytest.fixture
def files(tmp_path):
    "A mono, a stereo, a short, a silent and a long file, and one at another sample rate."
    wave = np.sin(np.arange(8000) / 5)
    return [
        write(tmp_path, "mono.wav", wave), write(tmp_path, "stereo.wav", np.stack([wave, wave / 2], 1)),
        write(tmp_path, "short.wav", wave[:10]), write(tmp_path, "silent.wav", 0 * wave),
        write(tmp_path, "long.wav", np.repeat([0.5, 0.25], 5 * 70_000)), write(tmp_path, "fast.wav", wave, 16000),
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["label", "labels", "numbers"])
def test_every_file_gives_features_and_outputs(files, target):
    model = level_model(target)
    clips = network_clips(model, files)
    assert clips.files == files and clips.features.shape == (6, 5) and clips.outputs.shape == (6, 3)
    head = model.network[2](torch.tensor(clips.features, dtype=torch.float32))
    expected = {"label": head.softmax(1), "labels": head.sigmoid(), "numbers": head}[target].numpy()
    rows = [0, 1, 2, 3, 5]  # a single window each
    np.testing.assert_allclose(clips.outputs[rows], expected[rows], atol=1e-6)


def test_windows_of_a_long_file_are_averaged(files):
    model = level_model()
    with torch.no_grad():
        windows = torch.tensor([[0.5, 0.5]] * 4 + [[0.25, 0.25]] * 4)  # 87.5 s; one window of 10 s has both levels
        mixed = torch.tensor([[(0.5 * 30_000 + 0.25 * 50_000) / 80_000, 0.5]])
        features = model.network[:2](torch.cat([windows, mixed]))
    [found] = network_clips(model, files[4:5]).features
    np.testing.assert_allclose(found, features.double().mean(0).numpy(), atol=1e-5)


def test_the_head_may_be_wrapped_and_see_windows_or_tokens(files):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 3)

        def forward(self, x):  # two tokens of each clip
            return self.linear(torch.stack([x, 3 * x], 1).repeat(1, 1, 2)).mean(1)

    with torch.no_grad():
        tokens = network_clips(SoundClassifier([Level()], Tokens(), "abc", 8000), files[:1])
    level = Level()(torch.tensor(soundfile.read(files[0], dtype="float32")[0])[None, None])[0].numpy()
    np.testing.assert_allclose(tokens.features[0], 2 * np.tile(level, 2), rtol=1e-6)

    network = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    front = [nn.Unflatten(2, (4, -1))]  # "spectrograms" of four bins
    wrapped = ScaledOutput(WindowAverage(network, 2, "numbers"), torch.zeros(2), torch.ones(2))
    found = network_clips(
        SoundClassifier(front, wrapped.requires_grad_(False), "ab", 8000, target="numbers"), files[:1]
    )
    assert found.features.shape == (1, 8)


@pytest.mark.parametrize(
    "network, message",
    [
        (nn.Sequential(nn.Unflatten(1, (2, 1)), nn.Conv1d(2, 3, 1), nn.Flatten()), "applies no nn.Linear"),
        (
            nn.Sequential(nn.Linear(2, 4), nn.Unflatten(1, (4, 1)), nn.Conv1d(4, 3, 1), nn.Flatten()),
            "of 4 outputs last",
        ),
    ],
)
def test_a_network_without_a_last_linear_layer_is_refused(network, message, files):
    with pytest.raises(ValueError, match=f"Sequential .*{message}.*leave out --model"):
        network_clips(SoundClassifier([Level()], network.requires_grad_(False), "abc", 8000), files, on_error="skip")


def test_unusable_files_stop_or_are_skipped(files, tmp_path):
    model, broken = level_model(), tmp_path / "broken.wav"
    broken.write_bytes(b"not audio")
    with pytest.raises(ValueError, match="1 of 7 files are unusable"):
        network_clips(model, [*files, broken])
    clips = network_clips(model, [broken, *files], on_error="skip")
    assert clips.files == files and list(clips.skipped) == [str(broken)]
    with torch.no_grad():
        model.network[0].bias.fill_(float("inf"))
        model.network[2].weight.fill_(0)
    with pytest.raises(ValueError, match="the network's outputs are not finite"):
        network_clips(model, files, on_error="skip")


def test_exports_and_models_with_groups_are_refused(files, tmp_path):
    model = level_model()
    model.to_onnx(tmp_path / "model.onnx")
    exported = load_model(tmp_path / "model.onnx")
    assert isinstance(exported, ExportedModel)
    with pytest.raises(ValueError, match="An export does not show its features"):
        network_clips(exported, files)
    groups = GroupedSpecNorm((0, 2, 3), "zscore", (0, 1), [1, 1, 1, 1], ["phone"])
    grouped = SoundClassifier([groups], nn.Linear(2, 3), "abc", 8000)
    with pytest.raises(ValueError, match=r"the model of one group, classifier.of_group\(name\), with one of phone"):
        network_clips(grouped, files)
