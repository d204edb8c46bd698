"""`fastaudio-norm stats`: its files, what it prints, and mistakes in its arguments."""

import matplotlib.pyplot as plt
import pytest

from fastaudio_norm.cli.main import main
from fastaudio_norm.stats.recorder import StatsRecorder


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


@pytest.mark.parametrize(
    "arguments, message",
    [(["none"], "No such folder"), ([".", "--folds", "1"], "No clips"), ([".", "--fraction", "2"], "No clips")],
)
def test_mistakes_end_with_one_line_and_status_2(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["stats", str(tmp_path / arguments[0]), *arguments[1:], "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
