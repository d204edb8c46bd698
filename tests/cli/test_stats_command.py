"""`fastaudio-norm stats`: its files, what it prints, and mistakes in its arguments."""

import json

import matplotlib.pyplot as plt
import pytest
import torch

from fastaudio_norm.cli.main import main
from fastaudio_norm.data import find_audio, read_clips
from fastaudio_norm.measure import Checkpoint, Measurement, measure, measure_files
from fastaudio_norm.stats import GroupStats, StatsRecorder


def test_stats_command_writes_statistics_and_a_figure(made_up, tmp_path, capsys):
    main(["stats", str(made_up), "--folds", "2", "3", "--spec", "linear", "--fraction", "0.5", "--out", str(tmp_path)])
    recorder = StatsRecorder.load(tmp_path / "stats.json")
    assert recorder.about["clips"] == 10 and recorder.about["folds"] == [2, 3] and recorder.mean.shape[2] == 201
    assert recorder.settings["n_fft"] == 400 and recorder.settings["sr"] == 16000
    assert plt.imread(tmp_path / "stats.png").std() > 0
    printed = capsys.readouterr()
    assert "from_stats" in printed.out and "three standard errors" in printed.out and "linear" in printed.out
    assert "Measuring clips" not in printed.err  # progress bars are for terminals
    plt.close("all")


def test_statistics_of_groups_equal_those_of_each_group_alone(made_up, tmp_path, capsys):
    table = read_clips(made_up).assign(device=lambda df: ["phone", "tablet"] * 25)
    table.to_csv(tmp_path / "all.csv", index=False)
    options = ["--file", "file", "--exclude", "1", "--group", "device"]
    main(["stats", str(made_up), "--table", str(tmp_path / "all.csv"), *options, "--out", str(tmp_path)])
    assert "Groups:     phone, tablet" in (printed := capsys.readouterr().out) and "group='device'" in printed
    stats = GroupStats.load(tmp_path / "stats.json")
    for name in ("phone", "tablet"):
        alone = measure(made_up, exclude=[1], table=table[table.device == name])
        torch.testing.assert_close(stats.groups[name].mean, alone.mean, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(stats.groups[name].quantile(0.5), alone.quantile(0.5))
    assert stats.pooled.about["clips"] == 40 and sum(r.nobservations for r in stats.groups.values()) == (
        stats.pooled.nobservations
    )


def test_a_saved_measurement_of_groups_can_be_continued(made_up, tmp_path):
    table = read_clips(made_up).assign(group=["phone", "tablet"] * 25)
    part = tmp_path / "part.json"
    whole = measure(made_up, table=table, group="group")

    files = find_audio(made_up, table=table)
    groups = {made_up / file: group for file, group in zip(table.file, table.group)}
    progress = Checkpoint(part, files, {})
    first = Measurement()
    for file in files[:20]:
        progress.count(file)
    first.merge(measure_files(files[:20], groups=groups, rate=16000, quiet=True))
    progress.save(first, now=True)
    resumed = Checkpoint(part, files, {}).resume()
    resumed.merge(measure_files(files[20:], groups=groups, rate=16000, quiet=True))
    for name, recorder in whole.groups.items():
        torch.testing.assert_close(resumed.groups[name].mean, recorder.mean, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "arguments, message",
    [(["none"], "No such folder"), ([".", "--folds", "1"], "No clips"), ([".", "--fraction", "2"], "No clips")],
)
def test_mistakes_end_with_one_line_and_status_2(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["stats", str(tmp_path / arguments[0]), *arguments[1:], "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_statistics_for_a_pretrained_network(made_up, tmp_path, capsys):
    config, run = tmp_path / "new" / "preprocessor_config.json", ["stats", str(made_up), "--folds", "1"]
    main([*run, "--spec", "ast", "--preprocessor-config", str(config), "--out", str(tmp_path)])
    stats = StatsRecorder.load(tmp_path / "stats.json").reduced((0, 1, 2, 3))
    content, printed = json.loads(config.read_text()), capsys.readouterr().out
    assert content["mean"] == pytest.approx(stats.mean.item()) and content["std"] == pytest.approx(stats.std.item())
    assert f"mean {stats.mean.item():.7g}, std {stats.std.item():.7g}; it divides by twice std" in printed
    assert "Padding:    at least 95%" in printed and "SpecNormalize.from_stats(stats_of_data(ast_stats" in printed
    for spec, said in {
        "beats": "BEATs:      mean ",
        "whisper": "by fixed constants",
        "panns": "not normalized",
    }.items():
        main([*run, "--spec", spec, "--fraction", "0.1", "--out", str(tmp_path)])
        printed = capsys.readouterr().out
        assert said in printed and ("stats_of_data(" in printed) == (spec == "beats")
    plt.close("all")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--preprocessor-config", "new.json"], "--preprocessor-config needs --spec ast"),
        (["--spec", "ast", "--wave", "--preprocessor-config", "new.json"], "cannot be used with --wave"),
        (["--spec", "ast", "--preprocessor-config", "."], "is a folder: name the file"),
        (["--spec", "ast", "--rate", "8000"], "AST needs a sample rate of 16,000 Hz, got 8,000 Hz"),
        (["--spec", "passt", "--hop", "100"], "PaSST has fixed settings: omit hop"),
    ],
)
def test_mistakes_about_pretrained_networks_are_reported_before_the_measurement(
    options, message, made_up, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(["stats", str(made_up), *options])
    assert stopped.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())
