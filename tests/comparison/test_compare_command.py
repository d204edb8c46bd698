"""The commands `compare` and `norms`."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from fastaudio_norm.cli.compare import WALKTHROUGH
from fastaudio_norm.cli.main import main
from fastaudio_norm.names import DEFAULT_NORMS
from fastaudio_norm.train import RECIPES, Recipe, without
from fastaudio_norm.transforms import make_norm

RECORDED_CLIPS = Path(__file__).parents[2] / "recorded"


def test_norms_lists_the_names_that_compare_accepts(capsys):
    main(["norms"])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 22 and all(len(line) == 2 for line in lines)
    for name, _ in lines:
        make_norm(name)


def test_compare_writes_a_table_and_plots(made_up, tmp_path, capsys):
    arguments = "--norms none channel --folds 4 --runs 1 --epochs 1 --bs 16 --seed 3 --spec linear"
    main(["compare", "--path", str(made_up), "--out", str(tmp_path), *arguments.split()])
    [folder] = [path for path in tmp_path.iterdir() if path.is_dir()]
    rows = pd.read_csv(folder / "results.csv")
    assert rows.norm.tolist() == ["none", "channel"] and set(rows.fold) == {4} and set(rows.seed) == {3}
    printed = capsys.readouterr()
    assert "vs none" in printed.out and "results.csv" in printed.out and "linear spectrogram" in printed.out
    assert "accuracy" in printed.err  # reported after each run
    main(["compare", "--path", str(made_up), "--out", str(tmp_path), *arguments.split(), "--classes"])
    printed = capsys.readouterr()
    assert "2 of 2 runs are already in" in printed.err and "whistle" in printed.out
    report = (folder / "report.html").read_text()
    assert "linear spectrogram" in report and "--epochs 1 --bs 16 --seed 3 --spec linear --classes" in report
    for name in ("comparison", "curves", "confusion-none", "confusion-channel"):
        assert plt.imread(folder / f"{name}.png").std() > 0 and f"{name}.png" in printed.out


def test_other_settings_do_not_overwrite_tables_and_plots(results, tmp_path, monkeypatch, capsys):
    "Each results file has its own folder, and another baseline changes the report only."
    monkeypatch.setattr("fastaudio_norm.data.make_clips", lambda path, **kwargs: path)
    monkeypatch.setattr("fastaudio_norm.comparison.compare", lambda path, **kwargs: results)
    monkeypatch.setattr("fastaudio_norm.cli.compare.python_code", lambda *args: "")
    for key, baseline in (("1", []), ("2", ["--baseline", "wave"])):
        results.attrs["file"] = str(tmp_path / f"results-{key}.jsonl")
        main(["compare", "--out", str(tmp_path), "--norms", "none", "wave", *baseline])
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    files = ("report.html", "results.csv", "comparison.png", "curves.png")
    assert names == {f"results-{key}/{file}" for key in "12" for file in files}
    assert "vs wave" in (tmp_path / "results-2" / "report.html").read_text()
    assert "vs wave" not in (tmp_path / "results-1" / "report.html").read_text()
    plt.close("all")


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ("", {"norms": DEFAULT_NORMS, "folds": [1, 2, 3], "runs": 1, "bs": 32, "recipe": Recipe(epochs=6)}),
        ("--path x", {"norms": DEFAULT_NORMS, "folds": None, "runs": 1, "bs": 64, "recipe": Recipe()}),
        (
            "--path x --walkthrough",
            {"norms": WALKTHROUGH["norms"], "folds": [1], "runs": 5, "bs": 64, "recipe": Recipe(spec="linear")},
        ),
        ("--path x --walkthrough --norms pcen", {"norms": ["pcen"], "folds": [1]}),
        (
            "--path x --augment microphone:6 freq-mixstyle",
            {"recipe": Recipe(augment=("microphone:6", "freq-mixstyle"))},
        ),
        ("--path x --recipe strong --without augment", {"recipe": RECIPES["strong"]._replace(augment=())}),
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
def test_defaults_depend_on_the_data(arguments, expected, tmp_path, monkeypatch, results):
    calls = []
    monkeypatch.setattr("fastaudio_norm.data.make_clips", lambda path, **kwargs: path)
    monkeypatch.setattr("fastaudio_norm.data.download_esc50", lambda: tmp_path)
    monkeypatch.setattr("fastaudio_norm.comparison.compare", lambda path, **kwargs: calls.append(kwargs) or results)
    monkeypatch.setattr("fastaudio_norm.cli.compare._save", lambda *args: {})  # the settings are tested
    main(["compare", "--out", str(tmp_path), *arguments.split()])
    assert expected.items() <= calls[0].items()
    plt.close("all")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--path", "no/such/folder"], "No such folder: no/such/folder"),
        (["--norms", "loud"], "Unknown normalization 'loud'"),
        (["--norms", "none", "wave", "--baseline", "pcen"], "must be one of --norms none wave, got 'pcen'"),
        (["--epochs", "0"], "must be at least 1, got 0"),
        (["--path", str(RECORDED_CLIPS), "--augment", "sugar"], "Unknown condition 'sugar'"),
        (["--without", "mixup"], "Cannot remove 'mixup' from this recipe"),
        (
            ["--recipe", "strong", "--without", "mixups"],
            "Cannot remove 'mixups' from this recipe: expected one of spec",
        ),
        (["--path", "x", "--esc50"], "not allowed with"),
    ],
)
def test_user_errors_print_one_line_and_exit_with_status_2(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.data.make_clips", lambda path, **kwargs: pytest.fail("made clips"))
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "--out", str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
