"""A converted model normalizes each clip by its group, in every form."""

import warnings

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from torch import nn

from fastaudio_norm.audio import SPECS
from fastaudio_norm.cli.main import main
from fastaudio_norm.compat.groups import GroupedFile
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.measure import measure
from fastaudio_norm.monitor import update_stats
from fastaudio_norm.serve import SoundClassifier, StreamingClassifier, as_pipeline, load_model, predict, predict_files
from fastaudio_norm.stats import GroupStats, StatsRecorder
from fastaudio_norm.train import find_arch, make_xresnet_grayscale, spec_learner
from fastaudio_norm.transforms import SpecNormalize

DEVICES = ("phone", "tablet", "watch")


class Power(nn.Module):
    def forward(self, x):
        return x.square().mean((-2, -1))


def small(n_out):
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), Power(), nn.Linear(8, n_out))


@pytest.fixture(scope="module")
def folder(made_up, tmp_path_factory):
    "The synthetic clips, at another level for each device."
    folder = tmp_path_factory.mktemp("devices")
    (folder / "audio").mkdir()
    for i, name in enumerate(read_esc50(made_up).filename):
        clip, rate = soundfile.read(made_up / "audio" / name)
        soundfile.write(folder / "audio" / f"{name[:-4]}.wav", clip * 0.1 ** (i % 3), rate, subtype="FLOAT")
    return folder


@pytest.fixture(scope="module")
def learn(made_up, folder):
    df = read_esc50(made_up)
    df["filename"] = df.filename.str[:-4] + ".wav"
    df["device"] = [DEVICES[i % 3] for i in range(len(df))]
    norm = SpecNormalize(axes=(0, 1, 3), group="device")
    dls = get_dls(df, folder, bs=10, batch_tfms=[SPECS["mel"](), norm], num_workers=0, group="device")
    learn = spec_learner(dls, small)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    return learn


@pytest.fixture
def classifier(learn):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return as_pipeline(learn)


@pytest.fixture
def clips():
    return torch.randn(4, 1, 16000, generator=torch.Generator().manual_seed(0)) * 0.05


def test_the_model_gives_what_the_learner_gives(learn, classifier, folder):
    file = sorted((folder / "audio").iterdir())[0]
    for device in DEVICES:
        with learn.no_bar():
            expected = learn.predict(GroupedFile(file, device))[2].numpy()
        [found] = predict(classifier, file, group=device)
        np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    assert classifier.groups == list(learn.dls.after_batch[-1].groups)


def test_a_wrong_group_is_noticed_by_the_conversion(learn):
    norm = next(tfm for tfm in learn.dls.after_batch.fs if isinstance(tfm, SpecNormalize))
    as_module = norm.as_module

    def swapped():
        layer = as_module()
        layer.offset = layer.offset.roll(1, 0)
        return layer

    norm.as_module = swapped
    try:
        with pytest.raises(ValueError, match="The pipeline differs from the learner"):
            as_pipeline(learn)
    finally:
        del norm.as_module


def test_groups_of_a_batch(classifier, clips):
    names = ["watch", "phone", "tablet", "phone"]
    out = classifier(clips, names)
    for i, name in enumerate(names):
        torch.testing.assert_close(out[i], classifier(clips[i : i + 1], name)[0])
        torch.testing.assert_close(out[i], classifier.of_group(name)(clips[i : i + 1])[0])
    torch.testing.assert_close(classifier(clips, "phone"), classifier.of_group("phone")(clips))
    padded = classifier.outputs_of_padded(clips, [16000, 9000, 16000, 12000], names)
    torch.testing.assert_close(padded[1], classifier(clips[1:2, :, :9000], "phone")[0])
    with pytest.warns(UserWarning, match="No statistics of 'radio'"):
        classifier(clips, "radio")


def test_missing_and_superfluous_groups_are_refused(classifier, clips, folder):
    file, plain = sorted((folder / "audio").iterdir())[0], classifier.of_group("phone")
    for call, problem in [
        (lambda: classifier(clips), "Expected the group of each clip"),
        (lambda: classifier(clips, ["phone"] * 3), "one for each of 4 clips, got 3"),
        (lambda: classifier.outputs_of_padded(clips, [9000] * 4, ["phone"] * 3), "one for each of 4 clips, got 3"),
        (lambda: predict(classifier, file), "This model normalizes by group: pass `group`"),
        (lambda: next(predict_files(classifier, [file])), "This model normalizes by group: pass `group`"),
        (lambda: StreamingClassifier(classifier), "classifier.of_group"),
        (lambda: classifier.program(), "An exported graph takes waveforms only"),
        (lambda: plain(clips, "phone"), "does not normalize by group"),
        (lambda: predict(plain, file, group="phone"), "does not normalize by group"),
    ]:
        with pytest.raises(ValueError, match=problem):
            call()
    assert StreamingClassifier(plain, 0.5).push(np.zeros((1, 16000), np.float32))


def test_files_and_exports(classifier, clips, tmp_path):
    classifier.save(tmp_path / "model.safetensors")
    loaded = SoundClassifier.load(tmp_path / "model.safetensors", small)
    names = ["watch", "phone", "tablet", "phone"]
    assert loaded.groups == classifier.groups and torch.equal(loaded(clips, names), classifier(clips, names))
    classifier.save_program(tmp_path / "phone.pt2", group="phone")
    classifier.to_onnx(tmp_path / "phone.onnx", group="phone")
    for file in ("phone.pt2", "phone.onnx"):
        torch.testing.assert_close(load_model(tmp_path / file)(clips), classifier(clips, "phone"), atol=1e-5, rtol=1e-4)


def test_new_statistics(classifier, clips, tmp_path):
    recorder = StatsRecorder((0, 3))
    recorder.update(torch.randn(9, 1, 64, 8) * 7 - 30)
    before = classifier(clips, "phone")
    classifier.renormalize(recorder, group="radio")
    assert torch.equal(classifier(clips, "phone"), before) and classifier.groups[-1] == "radio"
    new = classifier(clips, "radio")
    classifier.renormalize(recorder, group="phone")
    torch.testing.assert_close(classifier(clips, "phone"), new)
    stats = GroupStats(recorder, {"a": recorder})
    stats.save(tmp_path / "stats.json")
    classifier.renormalize(tmp_path / "stats.json")
    assert classifier.groups == ["a"] and torch.allclose(classifier(clips, "a"), new)
    for wrong, group, problem in [(recorder, None, "a GroupStats, or `group`"), (stats, "a", "a StatsRecorder")]:
        with pytest.raises(ValueError, match=problem):
            classifier.renormalize(wrong, group)


def test_an_update_changes_one_group(classifier, clips, folder, tmp_path):
    stats, model, names = tmp_path / "stats.json", tmp_path / "model.safetensors", [DEVICES[i % 3] for i in range(50)]
    table = pd.DataFrame({"file": sorted(p.name for p in (folder / "audio").iterdir()), "device": names})
    measured = measure(folder / "audio", table=table, group="device")
    measured.save(stats)
    network = make_xresnet_grayscale(find_arch("xresnet18")(n_out=10))
    classifier = SoundClassifier(classifier.front, network, arch="xresnet18", **classifier.about)
    classifier.renormalize(measured)
    classifier.save(model)
    live = measure(folder / "audio", table=table[table.device == "watch"])
    with pytest.raises(ValueError, match="of the groups phone, tablet, watch: name the group of the live clips"):
        update_stats(stats, live)
    with pytest.raises(ValueError, match="batchnorm changes the model for all groups"):
        update_stats(stats, live, model=model, adapt="batchnorm", group="phone")
    update_stats(stats, live, 0.5, model, dry_run=True, group="phone")
    assert torch.equal(GroupStats.load(stats).groups["phone"].mean, measured.groups["phone"].mean)

    asked = []
    update_stats(stats, live, 1.0, model, group="phone", accept=lambda *models: asked.append(models) or True)
    after, adapted = GroupStats.load(stats), SoundClassifier.load(model)
    torch.testing.assert_close(after.groups["phone"].mean, live.mean)
    assert torch.equal(after.pooled.mean, measured.pooled.mean) and after.pooled.about["groups"] == list(DEVICES)
    assert torch.equal(after.groups["watch"].mean, measured.groups["watch"].mean)
    assert after.pooled.about["updates"][0]["group"] == "phone"
    torch.testing.assert_close(adapted(clips, "phone"), classifier(clips, "watch"), rtol=1e-3, atol=1e-4)
    assert torch.equal(adapted(clips, "watch"), classifier(clips, "watch"))
    for model_of_group, whole in zip(asked[0], (classifier, adapted)):
        assert torch.equal(model_of_group(clips), whole(clips, "phone"))
    with pytest.raises(ValueError, match="already blended in"):
        update_stats(stats, live, group="phone")

    other = measure(folder / "audio", table=table[table.device == "tablet"])
    update_stats(stats, other, 0.5, model, group="radio")  # from the pooled statistics
    added = GroupStats.load(stats)
    expected = (measured.pooled.mean + other.mean) / 2
    torch.testing.assert_close(added.groups["radio"].mean, expected)
    assert list(added.groups) == [*DEVICES, "radio"] and SoundClassifier.load(model).groups == [*DEVICES, "radio"]
    assert "updates" not in added.groups["radio"].about and len(added.pooled.about["updates"]) == 2
    measured.pooled.save(stats)
    with pytest.raises(ValueError, match="does not have statistics of groups, got the group 'phone': omit it"):
        update_stats(stats, live, group="phone")


def test_the_predict_command_takes_a_group(classifier, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.serve.load_model", lambda path: classifier)
    file = str(sorted((folder / "audio").iterdir())[0])
    main(["predict", "model.safetensors", file, "--group", "watch"])
    assert file in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["predict", "model.safetensors", file])
    assert "--group" in capsys.readouterr().err
