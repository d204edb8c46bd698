"""`fastaudio-norm update`: dry run, backups, and a weight out of range."""

import json

import pytest
from drift_support import louder_statistics, save_model

from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import measure


def test_update_command(made_up, tmp_path, capsys):
    stats, measured = tmp_path / "stats.json", measure(made_up)
    measured.save(stats)
    louder_statistics(measured).save(tmp_path / "live.json")
    model = save_model(made_up, "global", tmp_path / "global.safetensors")
    command = ["update", str(stats), str(tmp_path / "live.json"), "--out", str(tmp_path / "out")]
    main([*command, "--dry-run"])
    shown = capsys.readouterr().out
    assert "Dry run: nothing was changed." in shown and "all bins" in shown and "→" in shown
    assert not (tmp_path / "stats.1.json").exists() and (tmp_path / "out" / "update.png").stat().st_size > 10_000
    main([*command, "--weight", "0.5", "--model", str(model)])
    shown = capsys.readouterr().out
    assert "Statistics before: stats.1.json" in shown and "Model before: global.1.safetensors" in shown
    assert json.loads(stats.read_text())["content"]["about"]["updates"][0]["weight"] == 0.5
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--weight", "7"])
    assert stopped.value.code == 2 and "at most 1, got 7" in capsys.readouterr().err
