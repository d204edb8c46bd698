"""The comparison, resumed and killed, and the command line over it."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile

from fastaudio_norm.audio.cache import cached_clips
from fastaudio_norm.audio.spectrograms import SPECS
from fastaudio_norm.cli.main import main
from fastaudio_norm.comparison.run import compare
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.train.learner import train_run
from fastaudio_norm.train.recipe import RECIPES, Recipe, without
from fastaudio_norm.transforms.registry import make_norm


@pytest.mark.parametrize("name", ["", "wav", "none+wave", "wave+wave", "global+channel", "wave+"])
def test_unknown_norms_are_refused(name):
    with pytest.raises(ValueError, match="Unknown normalization"):
        make_norm(name)


def test_norms_are_what_they_are_called():
    axes = {"global": (0, 2, 3), "channel": (0, 1, 3), "local": (2, 3), "local-channel": (3,)}
    for name, expected in axes.items():
        for method in ("zscore", "minmax", "robust"):
            items, [_, spec] = make_norm(f"wave+{name}{'' if method == 'zscore' else '-' + method}")
            assert len(items) == 1 and spec.axes == expected and spec.mean is None and spec.method == method
    for name in ("rms", "peak", "loudness"):
        assert make_norm(name)[0][0].method == name
    assert make_norm("global")[1][1] is not make_norm("global")[1][1]


def test_the_walkthroughs_spectrogram(esc10):
    df = pd.DataFrame({"filename": ["1-100032-A-0.ogg"]})
    [clip] = cached_clips(df, esc10, seconds=5).values()
    assert SPECS["linear"]()(clip).shape == (1, 201, 401)


SHORT = Recipe(epochs=1)
SETTING = {"norms": ["none", "wave+global"], "folds": [2, 3], "runs": 1, "recipe": SHORT, "bs": 16}


def test_same_seed_same_results(made_up):
    first = compare(made_up, **SETTING)
    pd.testing.assert_frame_equal(first, compare(made_up, **SETTING))
    other = compare(made_up, ["none"], [2], recipe=SHORT, bs=16, seed=1)
    assert other.valid_loss[0] != first.valid_loss[0]
    assert list(zip(first.norm, first.fold)) == [("none", 2), ("wave+global", 2), ("none", 3), ("wave+global", 3)]
    assert first.accuracy.between(0, 1).all() and first.attrs["valid_per_train"] == pytest.approx(0.25)
    for _, row in first.iterrows():
        assert np.mean(np.equal(row.truth, row.predicted)) == pytest.approx(row.accuracy)
        assert len(row.truth) == 10 and row.curve[-1][1:] == [row.valid_loss, row.accuracy]


def test_finished_runs_are_not_trained_again(made_up, tmp_path, monkeypatch):
    setting = {"norms": ["none", "global"], "folds": [2], "recipe": SHORT, "bs": 16}
    whole = compare(made_up, **setting)
    part = compare(made_up, **{**setting, "norms": ["global"]}, out=tmp_path)
    trained = []

    def counted(*args, **kwargs):
        trained.append(kwargs["seed"])
        return train_run(*args, **kwargs)

    monkeypatch.setattr("fastaudio_norm.comparison.run.train_run", counted)
    both = compare(made_up, **setting, out=tmp_path)
    assert len(trained) == 1 and both.attrs["file"] == part.attrs["file"]
    pd.testing.assert_frame_equal(both, whole)
    compare(made_up, **setting, out=tmp_path)
    assert len(trained) == 1
    others = [{"bs": 8}, {"seed": 1}, {"arch": "resnet18"}, {"deterministic": True}, {"seconds": 0.25}]
    others += [{"recipe": SHORT._replace(**{name: value})} for name, value in RECIPES["strong"]._asdict().items()]
    others = [other for other in others if other != {"recipe": SHORT}]
    monkeypatch.setattr("fastaudio_norm.comparison.run._train_all", lambda results, *args: None)
    files = {compare(made_up, **{**setting, **other}, out=tmp_path).attrs["file"] for other in others}
    assert len(files | {both.attrs["file"]}) == 1 + len(others)


def test_a_killed_comparison_goes_on_where_it_was(made_up, tmp_path):
    "What is kept in the end is what an undisturbed run keeps."
    command = [
        sys.executable, "-c", "from fastaudio_norm.cli.main import main; main()", "compare", "--path", str(made_up),
        *"--norms none global --folds 1 --runs 2 --epochs 1 --bs 16 --out".split(),
    ]  # fmt: skip
    setting = {"norms": ["none", "global"], "folds": [1], "runs": 2, "recipe": SHORT, "bs": 16}
    undisturbed = compare(made_up, **setting, out=tmp_path / "undisturbed")
    results = tmp_path / "killed" / Path(undisturbed.attrs["file"]).name

    def lines():
        return results.read_bytes().count(b"\n") if results.exists() else 0

    process = subprocess.Popen([*command, tmp_path / "killed"], stderr=subprocess.DEVNULL)
    while lines() < 3 and process.poll() is None:  # the header and two of four runs
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert 3 <= lines() < 5
    with open(results, "ab") as file:
        file.write(b'{"norm": "none", "fo')  # as if killed in the middle of a line
    finished = compare(made_up, **setting, out=tmp_path / "killed")
    pd.testing.assert_frame_equal(finished, undisturbed)
    assert results.read_bytes() == Path(undisturbed.attrs["file"]).read_bytes()


def test_statistics_come_from_the_folds_training_split_only(made_up, tmp_path):
    "Every clip that validates is replaced, by noise; the losses in training stay the same."
    changed = Path(shutil.copytree(made_up, tmp_path / "changed"))
    df = read_esc50(made_up)
    for name in df.filename[df.fold == 2]:
        samples, sr = soundfile.read(changed / "audio" / name)
        soundfile.write(changed / "audio" / name, np.random.default_rng(0).uniform(-1, 1, len(samples)), sr)
    for norm in ("global", "channel-robust"):
        before, after = (compare(path, [norm], folds=[2], recipe=SHORT, bs=16) for path in (made_up, changed))
        losses = [[epoch[0] for epoch in results.curve[0]] for results in (before, after)]
        assert losses[0] == losses[1] and before.valid_loss[0] != after.valid_loss[0]
        again = compare(changed, [norm], folds=[3], recipe=SHORT, bs=16)
        assert [epoch[0] for epoch in again.curve[0]] != losses[0]


def test_wrong_settings_are_found_before_any_work(made_up, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.comparison.run.cached_clips", lambda *args: pytest.fail("read the clips"))
    unknown = {"folds": [6], "recipe": Recipe(spec="cqt"), "norms": ["loud"], "arch": "lenet"}
    for (name, value), message in zip(unknown.items(), ["No fold 6", "'cqt'", "'loud'", "No network 'lenet'"]):
        with pytest.raises(ValueError, match=message):
            compare(made_up, **{name: value})


# ---- the command line


def test_norms_command_lists_what_compare_takes(capsys):
    main(["norms"])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 21 and all(len(line) == 2 for line in lines)
    for name, _ in lines:
        make_norm(name)


def test_compare_command(made_up, tmp_path, capsys):
    arguments = "--norms none channel --folds 4 --runs 1 --epochs 1 --bs 16 --seed 3 --spec linear"
    main(["compare", "--path", str(made_up), "--out", str(tmp_path), *arguments.split()])
    rows = pd.read_csv(tmp_path / "results.csv")
    assert rows.norm.tolist() == ["none", "channel"] and set(rows.fold) == {4} and set(rows.seed) == {3}
    printed = capsys.readouterr()
    assert "vs none" in printed.out and "results.csv" in printed.out and "linear spectrogram" in printed.out
    assert "accuracy" in printed.err  # each run as it ends
    main(["compare", "--path", str(made_up), "--out", str(tmp_path), *arguments.split(), "--classes"])
    printed = capsys.readouterr()
    assert "2 of 2 runs are in" in printed.err and "whistle" in printed.out
    for name in ("comparison", "curves", "confusion-none", "confusion-channel"):
        assert plt.imread(tmp_path / f"{name}.png").std() > 0 and f"{name}.png" in printed.out


@pytest.mark.parametrize(
    "arguments, given",
    [
        ("", {"folds": [1, 2, 3], "runs": 1, "bs": 32, "recipe": Recipe(epochs=6)}),
        ("--path x", {"folds": None, "runs": 1, "bs": 64, "recipe": Recipe()}),
        ("--path x --walkthrough", {"folds": [1], "runs": 5, "bs": 64, "recipe": Recipe(spec="linear")}),
        ("--esc50 --walkthrough --runs 2", {"folds": [1], "runs": 2, "bs": 64, "recipe": Recipe(spec="linear")}),
        ("--path x --recipe strong --epochs 5", {"bs": 64, "recipe": RECIPES["strong"]._replace(epochs=5)}),
        (
            "--path x --recipe strong --without mixup crop --deltas --arch resnet18 --deterministic --cache y",
            {
                "recipe": without(RECIPES["strong"], ["mixup", "crop"])._replace(deltas=True),
                "arch": "resnet18",
                "deterministic": True,
                "cache": "y",
            },
        ),
    ],
)
def test_defaults_fit_the_data(arguments, given, tmp_path, monkeypatch, results):
    calls = []
    monkeypatch.setattr("fastaudio_norm.cli.main.make_clips", lambda path, **kwargs: path)
    monkeypatch.setattr("fastaudio_norm.cli.main.download_esc50", lambda: tmp_path)
    monkeypatch.setattr("fastaudio_norm.cli.main.compare", lambda path, norms, **kwargs: calls.append(kwargs) or results)
    main(["compare", "--out", str(tmp_path), *arguments.split()])
    assert given.items() <= calls[0].items()
    plt.close("all")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--path", "no/such/folder"], "ESC-50's layout"),
        (["--norms", "loud"], "Unknown normalization 'loud'"),
        (["--epochs", "0"], "1 or more"),
        (["--without", "mixup"], "no 'mixup' to leave out"),
        (["--recipe", "strong", "--without", "mixups"], "no 'mixups' to leave out; it has spec"),
        (["--path", "x", "--esc50"], "not allowed with"),
    ],
)
def test_mistakes_end_in_one_line_and_status_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.cli.main.make_clips", lambda path, **kwargs: pytest.fail("made clips"))
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--out", str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
