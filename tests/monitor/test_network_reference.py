"""References of held-out clips: what they contain, their files, and what they refuse."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from network_support import TARGETS, clips_of, level_model, random_model, referenced

from fastaudio_norm.data import read_clips
from fastaudio_norm.monitor import DriftWatch, NetworkReference, measure_reference, network_clips
from fastaudio_norm.storage import read_json, write_json


@pytest.mark.parametrize("target", TARGETS)
def test_features_are_principal_directions_and_confidence(target):
    model, reference, rng = referenced(target, 80)
    clips, _ = clips_of(model, 80, np.random.default_rng(0))  # the held-out clips again
    x = reference.watched(clips)
    k = 16
    assert x.shape == (80, k + (target != "numbers"))
    np.testing.assert_allclose(np.cov(x[:, :k].T), reference.features.covariance[:k, :k], atol=1e-9)
    largest = np.linalg.eigvalsh(np.cov(clips.features.T))[::-1][:k]
    np.testing.assert_allclose(reference.features.covariance.diagonal()[:k], largest, rtol=1e-9)
    if target == "label":
        np.testing.assert_allclose(1 / (1 + np.exp(-x[:, k])), clips.outputs.max(1).clip(1e-6, 1 - 1e-6))
    assert (reference.truth is None) == (target == "numbers")


def test_few_clips_get_few_directions():
    _, reference, _ = referenced("label", 22)
    assert len(reference.directions) == 5
    with pytest.raises(ValueError, match="at least 20 held-out clips, got 19"):
        referenced("label", 19)


@pytest.mark.parametrize("target", TARGETS)
def test_files_restore_references(target, tmp_path):
    model, reference, rng = referenced(target, 80)
    reference.save(tmp_path / "reference.json")
    restored, (live, _) = NetworkReference.load(tmp_path / "reference.json", model), clips_of(model, 10, rng)
    np.testing.assert_array_equal(restored.watched(live), reference.watched(live))
    np.testing.assert_array_equal(restored.features.covariance, reference.features.covariance)
    assert restored.about == reference.about and restored.groups == reference.groups
    if target != "numbers":
        np.testing.assert_array_equal(restored.truth, reference.truth)
    with torch.no_grad():
        model.network[0].weight[0, 0] += 1e-3
    with pytest.raises(ValueError, match="reference of another model, or of this model before an update"):
        NetworkReference.load(tmp_path / "reference.json", model)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("center"),
        lambda c: c["directions"].clear(),
        lambda c: c["directions"][0].pop(),
        lambda c: c["outputs"].append([1.0]),
        lambda c: c.update(outputs=c["outputs"][:5], truth=c["truth"][:5]),
        lambda c: c["truth"].pop(),
        lambda c: c["truth"].__setitem__(0, 3),
        lambda c: c["truth"].__setitem__(0, -1),
        lambda c: c["features"].update(m2=[[0.0]]),
        lambda c: c["features"]["m2"][0].__setitem__(0, -1.0),
        lambda c: c.update(outputs="many"),
    ],
)
def test_malformed_files_are_refused(change, tmp_path):
    model, reference, _ = referenced("label", 80)
    file = tmp_path / "reference.json"
    reference.save(file)
    content = read_json(file, "network reference", 1)
    change(content)
    write_json(file, "network reference", 1, content)
    with pytest.raises(ValueError, match="not a valid network reference"):
        NetworkReference.load(file, model)


def test_clips_of_another_network_are_refused():
    _, reference, _ = referenced("label", 80)
    other = network_clips_of_level()
    with pytest.raises(ValueError, match="Expected 64 features and 3 outputs for each clip, got 5 and 3"):
        reference.watched(other)


def network_clips_of_level():
    model = level_model()
    x = torch.rand(4, 2)
    features = model.network[:2](x)
    clips, _ = clips_of(random_model(), 4, np.random.default_rng(0))
    return clips._replace(features=features.double().numpy())


def test_equal_clips_are_refused():
    model = random_model()
    clips, _ = clips_of(model, 30, np.random.default_rng(0))
    with pytest.raises(ValueError, match="the same features"):
        NetworkReference.from_clips(model, clips._replace(features=0 * clips.features))


def test_a_calibrated_watch_of_the_network_alarms_after_a_change():
    model, reference, rng = referenced("label", 400)
    watch = DriftWatch(reference, expect_alarm_every=2000)
    held_out = reference.watched(clips_of(model, 200, rng)[0])
    assert watch.calibrate(held_out, range(200)) > 1
    assert len(watch.update(reference.watched(clips_of(model, 4000, rng)[0]))) <= 8  # expected: 2
    watch.reset()
    assert watch.update(reference.watched(clips_of(model, 60, rng, level=2.0)[0]))


@pytest.fixture
def folder(tmp_path):
    for i in range(24):
        wave = (i + 1) / 24 * np.sin(np.arange(800) / (3 + i % 5))
        soundfile.write(tmp_path / f"{i:02}.wav", np.stack([wave, wave], 1) if i % 2 else wave, 8000, subtype="FLOAT")
    return tmp_path


def table(folder, labels, n=24):
    return read_clips(folder, pd.DataFrame({"file": [f"{i:02}.wav" for i in range(n)], "label": labels}))


def test_a_table_gives_a_reference(folder):
    model = level_model()
    df = table(folder, ["a", "b", "c"] * 8)
    (folder / "03.wav").write_bytes(b"not audio")
    reference, skipped = measure_reference(model, df, folder, on_error="skip")
    expected = [i % 3 for i in range(24) if i != 3]
    assert reference.truth.tolist() == expected and list(skipped) == [str(folder / "03.wav")]
    clips = network_clips(model, [folder / file for file in df.file if file != "03.wav"])
    np.testing.assert_array_equal(reference.outputs, clips.outputs)
    unlabelled, _ = measure_reference(model, df.drop(columns="label"), folder, on_error="skip")
    assert unlabelled.truth is None


def test_several_labels_and_numbers_of_a_table(folder):
    several, _ = measure_reference(level_model("labels"), table(folder, ["a;b", "c"] * 12), folder)
    assert several.truth[:2].tolist() == [[1, 1, 0], [0, 0, 1]]
    numbers = table(folder, np.arange(24) / 3)
    with pytest.raises(ValueError, match="predicts 3 numbers, got 1"):
        measure_reference(level_model("numbers"), numbers, folder)
    with pytest.raises(ValueError, match="target is label, got numbers"):
        measure_reference(level_model(), numbers, folder)
    with pytest.raises(ValueError, match="does not know 1 labels"):
        measure_reference(level_model(), table(folder, ["a", "z"] * 12), folder)
