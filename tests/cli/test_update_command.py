"""`fastaudio-norm update`: dry run, backups, methods, evaluation on labelled clips, and input that is refused."""

import json
import shutil

import pytest
from drift_support import louder_statistics, save_model

from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import measure
from fastaudio_norm.serve import SoundClassifier, predict


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
    shown, warned = capsys.readouterr()
    assert "can lower the accuracy (Boudiaf et al. 2023)" in warned
    assert "Statistics before: stats.1.json" in shown and "Model before: global.1.safetensors" in shown
    assert json.loads(stats.read_text())["content"]["about"]["updates"][0]["weight"] == 0.5
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--weight", "7"])
    assert stopped.value.code == 2 and "at most 1, got 7" in capsys.readouterr().err


@pytest.fixture(scope="module")
def original(made_up, tmp_path_factory):
    "Folder with statistics and a model, ten live clips, and held-out clips."
    path = tmp_path_factory.mktemp("original")
    measure(made_up).save(path / "stats.json")
    save_model(made_up, "none", path / "none.safetensors")
    for i, file in enumerate(sorted((made_up / "audio").iterdir())[:20]):
        folder = path / ("live" if i % 2 else "held_out")
        folder.mkdir(exist_ok=True)
        shutil.copy(file, folder)
    return path


@pytest.fixture
def work(original, tmp_path, monkeypatch):
    "A copy, as the current folder."
    shutil.copytree(original, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def label_by(model, work, table):
    "Write a table that labels held-out clips as the model classifies them."
    classifier = SoundClassifier.load(work / model)
    rows = []
    for file in sorted((work / "held_out").iterdir()):
        [whole] = predict(classifier, file)
        rows.append(f"held_out/{file.name},{classifier.decide(whole.probabilities)[0]}\n")
    (work / table).write_text("file,label\n" + "".join(rows))
    return {row.split(",")[1] for row in rows}


def run(*arguments):
    "Exit status of the command."
    try:
        main(["update", "stats.json", *arguments, "--out", "out"])
    except SystemExit as stopped:
        return stopped.code
    return 0


def test_a_model_that_got_worse_is_not_written(work, capsys):
    before = label_by("none.safetensors", work, "before.csv")
    command = ["live", "--model", "none.safetensors", "--adapt", "batchnorm", "--weight", "1"]
    weights, stats = (work / "none.safetensors").read_bytes(), (work / "stats.json").read_bytes()
    assert run(*command, "--evaluate", "before.csv") == 1
    shown, warned = capsys.readouterr()
    assert "accuracy on 10 held-out clips: 100.0% before" in shown and "--force" in shown and "Boudiaf" not in warned
    assert (work / "none.safetensors").read_bytes() == weights and (work / "stats.json").read_bytes() == stats
    assert run(*command, "--evaluate", "before.csv", "--force") == 0
    assert (work / "none.1.safetensors").read_bytes() == weights
    after = label_by("none.safetensors", work, "after.csv")
    assert before != after
    for name in ("none.safetensors", "stats.json"):
        (work / name.replace(".", ".1.")).replace(work / name)
    assert run(*command, "--evaluate", ".", "--table", "after.csv", "--dry-run") == 0
    assert "100.0% after" in capsys.readouterr().out and (work / "none.safetensors").read_bytes() == weights


def test_unusable_files_are_listed(work, capsys):
    (work / "live" / "bad.wav").write_bytes(b"no audio")
    command = ["live", "--model", "none.safetensors", "--adapt", "bands"]
    assert run(*command) == 2
    assert run(*command, "--on-error", "skip") == 3
    assert "bad.wav" in capsys.readouterr().err


def test_input_that_does_not_fit_is_refused(work, capsys):
    (work / "live.json").write_bytes((work / "stats.json").read_bytes())
    label_by("none.safetensors", work, "table.csv")
    shutil.copy(min((work / "held_out").iterdir()), work / "live" / "copy.wav")
    model = ["--model", "none.safetensors"]
    for arguments, message in (
        (["live.json", *model, "--adapt", "batchnorm"], "pass the folder of live clips, not statistics"),
        (["live.json", *model, "--evaluate", "table.csv"], "needs LIVE as a folder of audio"),
        (["live", "--evaluate", "table.csv"], "needs the model to evaluate: --model"),
        (["live", "--adapt", "bands"], "bands needs a model to adapt (--model)"),
        (["live", *model, "--label", "kind"], "--label describes the clips of --evaluate, which is missing"),
        (["live", *model, "--evaluate", "table.csv", "--table", "table.csv"], "leave out --table"),
        (["live", *model, "--adapt", "bands", "--evaluate", "table.csv"], "also used for adapting: 1, such as"),
    ):
        assert run(*arguments) == 2
        assert message in capsys.readouterr().err
    assert not list(work.glob("*.1.*"))
