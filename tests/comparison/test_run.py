"""The comparison: reproducible, resumable, without a leak from validation."""

import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from fastai.callback.progress import CSVLogger
from support import COMMAND, SMALL_ARCH, Program

from fastaudio_norm.audio import SPECS, cached_clips
from fastaudio_norm.comparison.report import summarize
from fastaudio_norm.comparison.results import Results
from fastaudio_norm.comparison.run import compare, prepare_comparison, run_settings
from fastaudio_norm.data import find_target, get_dls, read_clips, read_esc50
from fastaudio_norm.train import RECIPES, Recipe, supports_bfloat16, train_run
from fastaudio_norm.transforms import SpecNormalize, make_norm


@pytest.mark.parametrize("name", ["", "wav", "none+wave", "wave+wave", "global+channel", "wave+"])
def test_unknown_normalizations_are_refused(name):
    with pytest.raises(ValueError, match="Unknown normalization"):
        make_norm(name)


def test_names_of_normalizations_mean_what_they_say():
    axes = {"global": (0, 2, 3), "channel": (0, 1, 3), "local": (2, 3), "local-channel": (3,)}
    for name, expected in axes.items():
        for method in ("zscore", "minmax", "robust"):
            items, [_, spec] = make_norm(f"wave+{name}{'' if method == 'zscore' else '-' + method}")
            assert len(items) == 1 and spec.axes == expected and spec.mean is None and spec.method == method
    for name in ("rms", "peak", "loudness"):
        assert make_norm(name)[0][0].method == name
    assert make_norm("global")[1][1] is not make_norm("global")[1][1]


def test_the_linear_spectrogram_has_the_walkthroughs_shape(sounds):
    df = pd.DataFrame({"filename": ["1-100032-A-0.ogg"]})
    [clip] = cached_clips(df, sounds, seconds=5).values()
    assert SPECS["linear"]()(clip).shape == (1, 201, 401)


SHORT = Recipe(epochs=1)
SMALL = {"recipe": SHORT, "bs": 16, "arch": SMALL_ARCH}
OPTIONS = {"norms": ["none", "wave+global"], "folds": [2, 3], "runs": 1, **SMALL}


def test_the_same_seed_gives_the_same_results(made_up):
    first = compare(made_up, **OPTIONS)
    again = compare(made_up, ["wave+global"], [3], **SMALL)  # after other runs, or after none
    pd.testing.assert_frame_equal(first.iloc[[3]].reset_index(drop=True), again)
    other = compare(made_up, ["none"], [2], **SMALL, seed=1)
    assert other.valid_loss[0] != first.valid_loss[0]
    assert list(zip(first.norm, first.fold)) == [("none", 2), ("wave+global", 2), ("none", 3), ("wave+global", 3)]
    assert first.score.between(0, 1).all() and first.attrs["valid_per_train"] == pytest.approx(0.25)
    for _, row in first.iterrows():
        assert np.mean(np.equal(row.truth, row.predicted)) == pytest.approx(row.score)
        assert len(row.truth) == 10 and row.curve[-1][1:] == [row.valid_loss, row.score]


def test_finished_runs_are_not_trained_again(made_up, tmp_path, monkeypatch):
    options = {"norms": ["none", "global"], "folds": [2], **SMALL}
    complete = compare(made_up, **options)
    part = compare(made_up, **{**options, "norms": ["global"]}, out=tmp_path)
    trained = []

    def counted(*args, **kwargs):
        trained.append(kwargs["seed"])
        return train_run(*args, **kwargs)

    monkeypatch.setattr("fastaudio_norm.comparison.training.train_run", counted)
    both = compare(made_up, **options, out=tmp_path)
    assert len(trained) == 1 and both.attrs["file"] == part.attrs["file"]
    pd.testing.assert_frame_equal(both, complete)
    compare(made_up, **options, out=tmp_path)
    assert len(trained) == 1
    others = [{"bs": 8}, {"seed": 1}, {"arch": "resnet18"}, {"deterministic": True}, {"seconds": 0.25}]
    others += [{"recipe": SHORT._replace(**{name: value})} for name, value in RECIPES["strong"]._asdict().items()]
    others = [other for other in others if other != {"recipe": SHORT}]

    others += [{"metric": "macro F1"}, {"rate": 8000}, {"n_folds": 5}, {"cbs": lambda norm, fold, run: []}]

    def pretend_to_train(folder, settings, runs, *args):
        return Results(folder, settings).path, pd.DataFrame({"score": [0.5]})

    monkeypatch.setattr("fastaudio_norm.comparison.run.train_runs", pretend_to_train)
    files = {compare(made_up, **{**options, **other}, out=tmp_path).attrs["file"] for other in others}
    assert len(files | {both.attrs["file"]}) == 1 + len(others)


def test_the_settings_that_name_a_results_file_do_not_change(made_up):
    "With another name or default, the runs in files saved earlier would not be found."
    options = {"arch": "xresnet18", "bs": 64, "seed": 0, "deterministic": False}
    df = read_clips(made_up)
    settings = run_settings(df, cached_clips(df, made_up), Recipe(), find_target(df), **options)
    names = {"clips", "skipped", "target", "classes", "table", "recipe", "spectrogram", "device", "versions"}
    precision = {"precision": "bfloat16"} if supports_bfloat16(torch.device("cpu")) else {}
    assert set(settings) == names | set(options) | set(precision) and precision.items() <= settings.items()
    assert settings["recipe"] == {
        "spec": "mel", "speeds": (), "augment": (), "crop": 0.0, "masks": False, "deltas": False, "mixup": 0.0,
        "epochs": 20, "lr": 0.003, "wd": 0.01,
    }  # fmt: skip
    assert list(settings["versions"]) == ["fastaudio-norm", "fastai", "torch", "torchaudio"]


@pytest.fixture
def by_device(made_up):
    "Table whose clips alternate between two devices within each fold; fold 2 has one of its own."
    df = read_clips(made_up)
    return df.assign(device=[1.0 if fold == 2 else i % 2 + 2.0 for i, fold in enumerate(df.fold)])


def test_statistics_of_each_group(made_up, by_device, tmp_path, capsys):
    "`channel@device` trains as loaders with groups do, also under conditions, and reports clips of new groups."
    options = {"folds": [2, 3], "table": by_device, "conditions": ["gain:-20"], "out": tmp_path, **SMALL}
    results = compare(made_up, ["channel", "channel@device"], **options)
    clips, norm = cached_clips(by_device, made_up), SpecNormalize(axes=(0, 1, 3), group="device")
    dls = get_dls(
        by_device, made_up, 3, SMALL["bs"], batch_tfms=[SPECS["mel"](), norm], clips=clips, group="device",
        in_memory=True, num_workers=0,
    )  # fmt: skip
    learn = train_run(dls, SMALL["recipe"], SMALL["arch"])
    curves = {norm: rows.curve.iloc[0] for norm, rows in results[results.fold == 3].groupby("norm")}
    assert curves["channel@device"][-1] == list(learn.recorder.values[-1]) and set(norm.groups) == {"1", "2", "3"}
    assert curves["channel"] != curves["channel@device"]
    note = "10 of 20 validation clips are from groups without training clips (1). The pooled statistics normalize them"
    assert f"Normalization by device: {note}" in capsys.readouterr().err

    def file(norms, df):
        return Results(tmp_path, prepare_comparison(made_up, norms, SMALL["recipe"], table=df)[2]).path

    other = by_device.assign(device="a")
    assert file(["channel"], by_device) == file(["channel"], other)
    assert file(["channel@device"], by_device) != file(["channel@device"], other)


def test_a_column_of_groups_that_cannot_be_used_is_reported_before_any_work(made_up, by_device, monkeypatch):
    monkeypatch.setattr(
        "fastaudio_norm.comparison.run.cached_clips", lambda *args, **kwargs: pytest.fail("read the clips")
    )
    for norm, message in {
        "channel@site": "lacks the column 'site' of the groups",
        "channel@gap": "1 of 50 clips lack a group in the column 'gap'",
        "channel@half": "must be text or a whole number, got 0.5",
        "local@device": "expected @ between one of global",
    }.items():
        table = by_device.assign(gap=[None, *["a"] * 49], half=0.5)
        with pytest.raises(ValueError, match=message):
            compare(made_up, [norm], table=table)


def test_another_part_of_the_table_has_other_settings(made_up):
    "Otherwise, the results of `--where` would be mixed with those of all clips."
    found = [prepare_comparison(made_up, ["none"], table=read_clips(made_up, where={"target": i})) for i in (0, 1)]
    whole, parts = prepare_comparison(made_up, ["none"])[2], [settings for _, _, settings in found]
    assert [len(part["table"]) for part in parts] == [5, 5] and len(whole["table"]) == 50
    assert len({Results("folder", settings).path for settings in [whole, *parts]}) == 3


def test_a_killed_comparison_resumes(made_up, tmp_path):
    "At the end, its file equals the file of an uninterrupted comparison."
    arguments = "--norms none global --folds 1 --runs 2 --epochs 1 --bs 16".split()
    options = {"norms": ["none", "global"], "folds": [1], "runs": 2, "recipe": SHORT, "bs": 16}
    uninterrupted = compare(made_up, **options, out=tmp_path / "uninterrupted")
    results = tmp_path / "killed" / Path(uninterrupted.attrs["file"]).name

    def lines():
        return results.read_bytes().count(b"\n") if results.exists() else 0

    killed = Program(tmp_path, COMMAND, "compare", "--path", made_up, "--out", tmp_path / "killed", *arguments)
    while lines() < 3 and killed.status is None:  # the header and two of four runs
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.printed()
    assert 3 <= lines() < 5
    with open(results, "ab") as file:
        file.write(b'{"norm": "none", "fo')  # as if killed while writing a line
    finished = compare(made_up, **options, out=tmp_path / "killed")
    pd.testing.assert_frame_equal(finished, uninterrupted)
    assert results.read_bytes() == Path(uninterrupted.attrs["file"]).read_bytes()


def test_statistics_come_from_the_training_split_only(made_up, tmp_path):
    "Noise in place of every validation clip does not change the training losses."
    changed = Path(shutil.copytree(made_up, tmp_path / "changed"))
    df = read_esc50(made_up)
    for name in df.filename[df.fold == 2]:
        samples, sr = soundfile.read(changed / "audio" / name)
        soundfile.write(changed / "audio" / name, np.random.default_rng(0).uniform(-1, 1, len(samples)), sr)
    for norm in ("global", "channel-robust"):
        before, after = (compare(path, [norm], folds=[2], **SMALL) for path in (made_up, changed))
        losses = [[epoch[0] for epoch in results.curve[0]] for results in (before, after)]
        assert losses[0] == losses[1] and before.valid_loss[0] != after.valid_loss[0]
        again = compare(changed, [norm], folds=[3], **SMALL)
        assert [epoch[0] for epoch in again.curve[0]] != losses[0]


def test_wrong_options_are_reported_before_any_work(made_up, monkeypatch):
    monkeypatch.setattr(
        "fastaudio_norm.comparison.run.cached_clips", lambda *args, **kwargs: pytest.fail("read the clips")
    )
    unknown = {"folds": [6], "recipe": Recipe(spec="cqt"), "norms": ["loud"], "arch": "lenet"}
    for (name, value), message in zip(unknown.items(), ["No fold 6", "'cqt'", "'loud'", "Unknown network 'lenet'"]):
        with pytest.raises(ValueError, match=message):
            compare(made_up, **{name: value})


def test_a_class_without_training_clips_is_reported_before_any_work(made_up, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fastaudio_norm.comparison.run.cached_clips", lambda *args, **kwargs: pytest.fail("read the clips")
    )
    path = shutil.copytree(made_up, tmp_path / "data")
    table = path / "meta" / "esc50.csv"
    df = pd.read_csv(table)
    df.loc[df.index[df.fold == 4][0], "category"] = "owl"
    df.to_csv(table, index=False)
    with pytest.raises(ValueError, match="Fold 4 has all clips of owl"):
        compare(path)


def test_names_and_folds_that_are_given_twice_count_once(made_up):
    results = compare(made_up, ["none", "global", "none"], folds=[2, 2], recipe=SHORT, bs=16)
    assert list(zip(results.norm, results.fold)) == [("none", 2), ("global", 2)]
    assert summarize(results).runs.tolist() == [1, 1]


@pytest.mark.parametrize("norm", ["pcen", "channel"])
def test_the_strong_recipe_is_reproducible(norm, made_up):
    recipe = RECIPES["strong"]._replace(epochs=1, crop=0.25, deltas=norm == "channel")
    first, again = (compare(made_up, [norm], folds=[1], **SMALL | {"recipe": recipe}) for _ in range(2))
    assert first.curve[0] == again.curve[0] and first.predicted[0] == again.predicted[0]


def test_each_run_gets_its_own_callbacks(made_up, tmp_path):
    def log(norm, fold, run):
        return CSVLogger(tmp_path / f"{norm} {fold} {run}.csv")

    results = compare(made_up, ["none", "global"], folds=[2], runs=2, **SMALL, cbs=log)
    files = sorted(file.name for file in tmp_path.glob("*.csv"))
    assert files == ["global 2 0.csv", "global 2 1.csv", "none 2 0.csv", "none 2 1.csv"]
    losses = [
        pd.read_csv(tmp_path / f"{row.norm} {row.fold} {row.run}.csv").valid_loss[0] for row in results.itertuples()
    ]
    assert losses == pytest.approx(results.valid_loss.tolist(), abs=1e-5)
    with pytest.raises(ValueError, match="`cbs` must be a function"):
        compare(made_up, ["none"], cbs=[CSVLogger()])
