"""From a comparison to a model: the printed Python, and the command `train`."""

import argparse
import json
import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fastaudio_norm import serve
from fastaudio_norm.cli.compare import add_compare, choose_settings
from fastaudio_norm.cli.inputs import table_arguments
from fastaudio_norm.cli.main import main
from fastaudio_norm.cli.train import add_train
from fastaudio_norm.cli.winner import train_command
from fastaudio_norm.data import read_clips
from fastaudio_norm.monitor import NetworkReference, update_stats
from fastaudio_norm.serve import SoundClassifier
from fastaudio_norm.stats import GroupStats, StatsRecorder

OPTIONS = "--epochs 1 --bs 16 --n-mels 32 --label category --table".split()


@pytest.fixture
def compared(made_up, tmp_path, monkeypatch, capsys):
    "Options of a comparison of a table without folds; what the comparison printed; and its rows."
    table = tmp_path / "clips.csv"
    table.write_text((made_up / "meta" / "esc50.csv").read_text().replace("fold,", "fold of ESC-50,"))
    data = [*OPTIONS, str(table), "--path", str(made_up / "audio")]
    monkeypatch.chdir(tmp_path)
    main(["compare", *data, "--norms", "none", "channel", "--folds", "1", "--conditions", "gain:-20", "--out", "out"])
    [file] = Path("out").glob("results-*.jsonl")
    return data, capsys.readouterr().out, [json.loads(line) for line in file.read_text().splitlines()[1:]]


def test_the_printed_python_trains_the_best_network_again(compared):
    _, printed, rows = compared
    best = max(rows, key=lambda row: row["score"])
    _, program = printed.split(f"Python for {best['norm']}:")
    names = {}
    exec(textwrap.dedent(program.partition("\n\n")[2]), names)
    assert names["learn"].recorder.values[-1][:2] == best["curve"][-1][:2]
    SoundClassifier.load(f"{best['norm']}.safetensors")


def test_the_printed_command_trains_with_the_settings_of_the_comparison(compared):
    data, printed, rows = compared
    best = max(rows, key=lambda row: row["score"])
    [command] = re.findall("^    fastaudio-norm train (.*)$", printed, re.M)
    parser = argparse.ArgumentParser()
    add_train(parser)
    expected = vars(parser.parse_args([*data, "--norm", best["norm"], "--results", "out"]))
    assert vars(parser.parse_args(shlex.split(command))) == expected


def comparable(recipe):
    "A recipe whose spectrogram, if it is a partial `make_spec`, is replaced by its arguments."
    return recipe._replace(spec=(recipe.spec.args, recipe.spec.keywords)) if callable(recipe.spec) else recipe


@pytest.mark.parametrize(
    "options",
    [
        "--walkthrough",
        "--label dog rain --target labels --n-folds 3",
        "--table owls.csv --file=-x --where site=a --where room=1 --metric R² --seed 3",
        "--recipe strong --without masks mixup --epochs 5",
        "--augment gain:-20 freq-mixstyle --deltas --spec linear --f-min 0",
        "--rate 8000 --bs 16 --deterministic --arch resnet18 --cache here --on-error skip",
    ],
)
def test_the_command_repeats_the_options_of_data_and_training(options):
    compare, train = argparse.ArgumentParser(), argparse.ArgumentParser()
    add_compare(compare)
    add_train(train)
    args = compare.parse_args(["--path", "my owls", *options.split()])
    settings = choose_settings(args)
    repeated = train.parse_args(shlex.split(train_command(args, settings, Path("my owls"), "pcen"))[2:])
    assert comparable(choose_settings(repeated)["recipe"]) == comparable(settings["recipe"])
    assert table_arguments(repeated) == table_arguments(args) and choose_settings(repeated)["bs"] == settings["bs"]
    names = "n_folds metric arch seed deterministic cache on_error rate n_mels f_min without deltas".split()
    assert all(getattr(repeated, name) == getattr(args, name) for name in names)
    assert (repeated.path, repeated.norm, repeated.results) == ("my owls", "pcen", args.out)


def test_train_makes_a_model_that_agrees_with_the_learner(compared, monkeypatch, capsys):
    data, _, rows = compared
    kept, train_final = [], serve.train_final
    monkeypatch.setattr(
        serve, "train_final", lambda *args, **kwargs: kept.append(train_final(*args, **kwargs)) or kept[0]
    )
    main(["train", *data, "--norm", "channel", "--results", "out", "--out", "model"])
    [final] = kept
    assert len(final.learn.dls.train_ds) == 50
    card = Path("model/model-card.md").read_text()
    [row] = [row for row in rows if row["norm"] == "channel"]
    assert f"| 1 | {row['score']:.1%} |" in card and "10 classes" in card and "n_mels 32" in card

    rng = np.random.default_rng(0)
    for rate in (16000, 22050):
        soundfile.write(f"{rate}.wav", 0.1 * rng.standard_normal(rate), rate)
    capsys.readouterr()
    main(["predict", "model/model.safetensors", "16000.wav", "22050.wav", "--json"])
    for predicted in json.loads(capsys.readouterr().out):
        with final.learn.no_bar():
            name, _, probabilities = final.learn.predict(predicted["file"])
        expected = dict(zip(final.learn.dls.vocab, probabilities.tolist()))
        assert predicted["class"] == name and predicted["probabilities"] == pytest.approx(expected, abs=1e-3)

    stats = StatsRecorder.load("model/stats.json")
    norm = final.learn.dls.after_batch.fs[-1]
    assert (stats.mean - norm.mean.cpu()).abs().max() < 0.1  # dB
    update_stats("model/stats.json", stats, 0.5, "model/model.safetensors", dry_run=True)


def test_a_model_with_statistics_of_each_device(made_up, tmp_path, monkeypatch, capsys):
    "`compare` and `train` with `channel@device`, `predict --group`, and `update --live-group`."
    monkeypatch.chdir(tmp_path)
    df = read_clips(made_up)
    df.assign(**{"my device": [f"phone {i % 2}" for i in range(50)]}).to_csv("clips.csv", index=False)
    data = ["--table", "clips.csv", "--path", str(made_up), "--epochs", "1", "--bs", "16"]
    main(["compare", *data, "--norms", "channel@my device", "--folds", "1", "--out", "out"])
    printed = capsys.readouterr().out
    assert Path(next(Path("out").glob("*/report.html"))).stat().st_size > 0
    names = {}
    exec(textwrap.dedent(printed.partition("Python for")[2].partition("\n\n")[2]), names)
    assert SoundClassifier.load("channel@my device.safetensors").groups == ["phone 0", "phone 1"]

    main(["train", *data, "--norm", "channel@my device", "--results", "out", "--out", "model"])
    card = Path("model/model-card.md").read_text()
    assert "statistics of each my device: phone 0, phone 1. Any other one" in card and "--group NAME" in card
    assert "| 1 | " in card  # the score of the comparison
    stats, model = GroupStats.load("model/stats.json"), SoundClassifier.load("model/model.safetensors")
    assert list(stats.groups) == model.groups == ["phone 0", "phone 1"]
    file = str(made_up / df.file[0])
    main(["predict", "model/model.safetensors", file, "--group", "phone 1"])
    assert file in capsys.readouterr().out
    live = sorted(map(str, (made_up / "audio").iterdir()))[:5]
    Path("live").mkdir()
    for name in live:
        Path("live", Path(name).name).symlink_to(name)
    update = ["update", "model/stats.json", "live", "--model", "model/model.safetensors", "--out", "out"]
    with pytest.raises(SystemExit):
        main(update)
    assert "of the groups phone 0, phone 1: name the group of the live clips" in capsys.readouterr().err
    main([*update, "--live-group", "phone 1"])
    assert not GroupStats.load("model/stats.json").groups["phone 1"].mean.equal(stats.groups["phone 1"].mean)


def test_a_fold_that_is_left_out_becomes_the_reference_of_the_model(compared, capsys):
    data, _, _ = compared
    main(["train", *data, "--norm", "none", "--n-folds", "2", "--valid-fold", "1", "--out", "model"])
    reference = NetworkReference.load("model/reference.json", SoundClassifier.load("model/model.safetensors"))
    score = (reference.outputs.argmax(1) == reference.truth).mean()
    assert len(reference.outputs) > 20 and f"| 1 | {score:.1%} |" in capsys.readouterr().out
    main(["train", *data, "--norm", "none", "--n-folds", "5", "--valid-fold", "1", "--out", "few"])
    assert "at least 20 held-out clips" in capsys.readouterr().out and not Path("few/reference.json").exists()
