"""Scores before and after an adaptation, for every kind of target, and held-out clips that are refused."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torch import nn

from fastaudio_norm.data import read_clips
from fastaudio_norm.monitor import evaluate_adaptation, refuse_overlap
from fastaudio_norm.serve import SoundClassifier

AMPLITUDES = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.01, 0.01, 0.01, 0.01]


class Peak(nn.Module):
    "Front end: the peak of each clip, [batch, 1]."

    def forward(self, x):
        return x.abs().amax((1, 2))[:, None]


def model(weight, bias, target="label", classes=("loud", "quiet")):
    network = nn.Linear(1, len(classes))
    network.weight.data, network.bias.data = torch.tensor(weight)[:, None], torch.tensor(bias)
    return SoundClassifier([Peak()], network.requires_grad_(False), classes, 8000, target=target)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Clips whose names say their peak; every other one is stereo."
    path = tmp_path_factory.mktemp("held_out")
    for i, amplitude in enumerate(AMPLITUDES):
        wave = amplitude * np.sin(np.arange(800) / (3 + i))
        soundfile.write(path / f"{i}.wav", np.stack([wave, wave], 1) if i % 2 else wave, 8000, subtype="FLOAT")
    return path


def table(folder, labels, **options):
    return read_clips(
        folder, pd.DataFrame({"file": [f"{i}.wav" for i in range(len(labels))], "label": labels}), **options
    )


LABELS = ["loud"] * 6 + ["quiet"] * 4
ALWAYS_QUIET, BY_LEVEL = ([0.0, 0.0], [0.0, 1.0]), ([10.0, -10.0], [-1.0, 1.0])


def test_one_label(folder):
    models, df = (model(*ALWAYS_QUIET), model(*BY_LEVEL)), table(folder, LABELS)
    found = evaluate_adaptation(*models, df, folder, [])
    assert (found.clips, found.before, found.after, found.is_worse) == (10, 0.4, 1.0, False)
    differences = np.array([1] * 6 + [0] * 4)
    assert found.difference == 0.6 and found.p == pytest.approx(2 * 0.5**6)  # McNemar's exact test
    assert found.margin == pytest.approx(2.262157 * differences.std(ddof=1) / np.sqrt(10))
    assert "40.0% before, 100.0% after" in str(found) and "+60.0 ±" in str(found) and "chance" not in str(found)
    back = evaluate_adaptation(*models[::-1], df, folder, [])
    assert back.is_worse and back.difference == -0.6
    same = evaluate_adaptation(models[0], models[0], df, folder, [])
    assert not same.is_worse and (same.margin, same.p) == (0, 1) and "may be chance" in str(same)


def test_several_labels(folder):
    labels = [("loud", "sine") if label == "loud" else ("sine",) for label in LABELS]
    df = table(folder, labels)
    classes = ("loud", "quiet", "sine")
    before = model([-10.0, 0.0, 0.0], [0.0, -9.0, 9.0], "labels", classes)
    after = model([10.0, 0.0, 0.0], [-1.0, -9.0, 9.0], "labels", classes)
    found = evaluate_adaptation(before, after, df, folder, [])
    assert found.metric.name == "mean average precision" and found.before < found.after == 1
    assert found.difference > 0 and "squared error" in str(found)


def test_numbers(folder):
    df = table(folder, AMPLITUDES)
    before, after = (model([slope], [0.0], "numbers", ["peak"]) for slope in (0.5, 0.9))
    found = evaluate_adaptation(before, after, df, folder, [])
    assert (
        not found.is_worse
        and found.after < found.before
        and found.difference == pytest.approx(found.before - found.after)
    )
    assert evaluate_adaptation(after, before, df, folder, []).is_worse


def test_a_folder_of_classes(folder, tmp_path):
    for i, label in enumerate(LABELS):
        (tmp_path / label).mkdir(exist_ok=True)
        (tmp_path / label / f"{i}.wav").write_bytes((folder / f"{i}.wav").read_bytes())
    assert evaluate_adaptation(model(*ALWAYS_QUIET), model(*BY_LEVEL), read_clips(tmp_path), tmp_path, []).after == 1


def test_clips_that_were_used_for_adapting_are_refused(folder, tmp_path):
    wave, rate = soundfile.read(folder / "3.wav")
    soundfile.write(tmp_path / "copy.wav", wave, rate, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(800), rate)
    soundfile.write(tmp_path / "silence.wav", np.zeros(800), rate)
    (tmp_path / "bad.wav").write_bytes(b"")
    files = sorted(folder.iterdir())
    refuse_overlap([tmp_path / "silent.wav", tmp_path / "bad.wav"], [tmp_path / "silence.wav", *files])
    with pytest.raises(
        ValueError, match="adapting: 1, such as .*3.wav, the same audio as .*copy.wav: evaluate on other"
    ):
        refuse_overlap([tmp_path / "copy.wav"], files)
    with pytest.raises(ValueError, match=r"such as [^,]*4.wav: evaluate on other"):
        evaluate_adaptation(model(*BY_LEVEL), model(*BY_LEVEL), table(folder, LABELS), folder, [folder / "4.wav"])


def test_labels_that_do_not_fit_the_model_are_refused(folder, tmp_path):
    before = model(*BY_LEVEL)
    for df, message in (
        (table(folder, ["loud"] * 9 + ["dog"]), "does not know 1 labels of the held-out clips, such as 'dog'"),
        (table(folder, AMPLITUDES), "target is label, got numbers"),
        (table(folder, [("loud",)] * 10), "target is label, got labels"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_adaptation(before, before, df, folder, [])
    two = model([1.0, 1.0], [0.0, 0.0], "numbers", ["a", "b"])
    with pytest.raises(ValueError, match="predicts 2 numbers, got 1"):
        evaluate_adaptation(two, two, table(folder, AMPLITUDES), folder, [])


def test_unusable_clips_stop_or_are_skipped(folder, tmp_path):
    for name in ("0.wav", "1.wav"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "1.wav").write_bytes(b"no audio")
    df, models = table(tmp_path, ["loud", "loud"]), (model(*ALWAYS_QUIET), model(*BY_LEVEL))
    with pytest.raises(ValueError, match="1.wav"):
        evaluate_adaptation(*models, df, tmp_path, [])
    found = evaluate_adaptation(*models, df, tmp_path, [], "skip")
    assert (found.clips, found.before, found.after) == (1, 0, 1) and [*found.skipped] == [str(tmp_path / "1.wav")]
    assert np.isnan(found.margin) and "± ? points" in str(found)
