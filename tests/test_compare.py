"""The comparison, its table and picture, and the command line over it."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from fastaudio_norm.cli import main
from fastaudio_norm.compare import compare, format_table, plot_comparison, summarize
from fastaudio_norm.data import SPECS, read_clips
from fastaudio_norm.norms import make_norm


@pytest.fixture
def results():
    rows = [
        (norm, fold, 0, a)
        for norm, accuracies in {"none": (0.5, 0.7), "wave": (0.7, 0.8)}.items()
        for fold, a in enumerate(accuracies, 1)
    ]
    return pd.DataFrame(rows, columns=["norm", "fold", "run", "accuracy"])


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
    [clip] = read_clips(df, esc10, seconds=5).values()
    assert SPECS["linear"]()(clip).shape == (1, 201, 401)


def test_table(results):
    table = summarize(results)
    assert table.loc["none"].round(6).tolist() == [2, 60, 14.142136, 0]
    assert table.loc["wave", ["accuracy", "vs none"]].round(6).tolist() == [75, 15]
    assert format_table(table).splitlines()[2].split() == ["wave", "2", "75.0", "±", "7.1", "%", "+15.0"]
    single = format_table(summarize(results[(results.fold == 1) & (results.norm == "wave")]))
    assert "±" not in single and "vs none" not in single and "70.0 %" in single


def test_picture_has_every_run(results):
    ax = plot_comparison(results, "title").axes[0]
    drawn = {(round(x), label.get_label()) for label in ax.collections for x, _ in label.get_offsets()}
    assert drawn == {(50, "fold 1"), (70, "fold 2"), (70, "fold 1"), (80, "fold 2")}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["none", "wave"]
    assert {t.get_text() for t in ax.texts} == {"60.0", "75.0"}
    plt.close("all")


def test_same_seed_same_results_and_every_run_is_kept(made_up, tmp_path):
    setting = {"norms": ["none", "wave+global"], "folds": [2, 3], "runs": 1, "epochs": 1, "bs": 16}
    first = compare(made_up, **setting, out=tmp_path / "results.csv")
    pd.testing.assert_frame_equal(first, compare(made_up, **setting))
    pd.testing.assert_frame_equal(first, pd.read_csv(tmp_path / "results.csv"))
    assert not first.equals(compare(made_up, **setting, seed=1))
    assert list(zip(first.norm, first.fold)) == [("none", 2), ("wave+global", 2), ("none", 3), ("wave+global", 3)]
    assert first.accuracy.between(0, 1).all()


def test_wrong_settings_are_found_before_any_work(made_up, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.compare.read_clips", lambda *args: pytest.fail("read the clips"))
    for setting, message in [({"folds": [6]}, "No fold 6"), ({"spec": "cqt"}, "cqt"), ({"norms": ["loud"]}, "loud")]:
        with pytest.raises(ValueError, match=message):
            compare(made_up, **setting)


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
    assert plt.imread(tmp_path / "comparison.png").std() > 0
    printed = capsys.readouterr()
    assert "vs none" in printed.out and "results.csv" in printed.out and "linear spectrogram" in printed.out
    assert "accuracy" in printed.err  # each run as it ends


@pytest.mark.parametrize(
    "arguments, given",
    [
        ("", {"folds": [1, 2, 3], "runs": 1, "epochs": 6, "bs": 32, "spec": "mel"}),
        ("--path x", {"folds": None, "runs": 1, "epochs": 20, "bs": 64, "spec": "mel"}),
        ("--path x --walkthrough", {"folds": [1], "runs": 5, "epochs": 20, "bs": 64, "spec": "linear"}),
        ("--esc50 --walkthrough --runs 2", {"folds": [1], "runs": 2, "epochs": 20, "bs": 64, "spec": "linear"}),
    ],
)
def test_defaults_fit_the_data(arguments, given, tmp_path, monkeypatch, results):
    calls = []
    monkeypatch.setattr("fastaudio_norm.cli.make_clips", lambda path, **kwargs: path)
    monkeypatch.setattr("fastaudio_norm.cli.download_esc50", lambda: tmp_path)
    monkeypatch.setattr("fastaudio_norm.cli.compare", lambda path, norms, **kwargs: calls.append(kwargs) or results)
    main(["compare", "--out", str(tmp_path), *arguments.split()])
    assert given.items() <= calls[0].items()
    plt.close("all")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--path", "no/such/folder"], "ESC-50's layout"),
        (["--norms", "loud"], "Unknown normalization 'loud'"),
        (["--epochs", "0"], "1 or more"),
        (["--path", "x", "--esc50"], "not allowed with"),
    ],
)
def test_mistakes_end_in_one_line_and_status_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.cli.make_clips", lambda path, **kwargs: pytest.fail("made clips"))
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--out", str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
