"""Every command stops at unusable files, or skips and lists them."""

import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from fastaudio_norm.audio.files import printable_path
from fastaudio_norm.cli.main import main
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.serve import as_pipeline
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.train import make_tfms, spec_learner


@pytest.fixture(scope="module")
def model(made_up, tmp_path_factory):
    "Folder with a model file, trained for one epoch on synthetic clips, and their statistics."
    folder = tmp_path_factory.mktemp("model")
    df = read_esc50(made_up)
    _, batch_tfms = make_tfms("channel")
    dls = get_dls(df, made_up, bs=16, batch_tfms=batch_tfms, num_workers=0)
    learn = spec_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    as_pipeline(learn).save(folder / "model.safetensors")
    main(["stats", str(made_up), "--out", str(folder)])
    plt.close("all")
    return folder


def run_main(argv, capsys, ordinary_user):
    "Return exit status, standard output and standard error."
    capsys.readouterr()
    try:
        with ordinary_user():
            main(list(map(str, argv)))
        status = 0
    except SystemExit as e:
        status = e.code
    plt.close("all")
    return status, *capsys.readouterr()


def commands(name, folder, model, out):
    audio = folder / "audio"
    return {
        "stats": ["stats", folder, "--out", out],
        "drift": ["drift", model / "stats.json", folder, "--out", out],
        "compare": [*f"compare --norms none --epochs 1 --bs 8 --path {folder} --out {out} --cache {out}".split()],
        "predict": ["predict", model / "model.safetensors", *sorted(audio.iterdir()), "--json", "--window", "5"],
    }[name]


@pytest.mark.parametrize("name", ["stats", "drift", "compare", "predict"])
def test_every_command_stops_before_the_work_begins(name, corpus, model, tmp_path, capsys, ordinary_user):
    folder, expected, listed = corpus
    expected = expected if name == "predict" else listed
    argv = commands(name, folder, model, tmp_path / "out")
    argv += ["--on-error", "stop"] if name == "predict" else []  # the default of the others
    status, out, err = run_main(argv, capsys, ordinary_user)
    assert status == 2 and "Traceback" not in err and not (tmp_path / "out" / "stats.json").exists()
    unusable = 17 if name == "predict" else 11  # `predict` also decodes all files in advance
    assert f"{unusable} of {len(expected)} files are unusable" in err and f"and {unusable - 10} more" in err
    assert "--on-error skip" in err
    assert "cut good.wav: truncated: 15,978 of 32,000 bytes are present" in err


@pytest.mark.parametrize("name", ["stats", "drift", "compare", "predict"])
def test_every_command_skips_and_lists_unusable_files(name, corpus, model, tmp_path, capsys, ordinary_user):
    folder, expected, listed = corpus
    expected = expected if name == "predict" else listed
    out = tmp_path / "out"
    status, printed, err = run_main([*commands(name, folder, model, out), "--on-error", "skip"], capsys, ordinary_user)
    bad = {name: reason for name, reason in expected.items() if reason}
    if name == "compare":  # compare pads short clips
        del bad["one sample.wav"]
    assert status == (1 if name == "drift" else 3) and "Traceback" not in err  # drift returns 1 for its alarm
    title, lines = re.search(r"^(\S.*)\n((?:  .*\n?)+)\Z", err, re.MULTILINE).groups()
    assert re.findall(r"\d+", title) == [str(len(bad))]
    reported = dict(re.fullmatch(r"  (?:.*/)?([^/]*\.\w+): (.*)", line).groups() for line in lines.splitlines())
    assert reported.keys() == {printable_path(name) for name in bad}
    assert all(re.search(reason, reported[printable_path(name)]) for name, reason in bad.items())
    good = {printable_path(name) for name in expected.keys() - bad.keys()}
    if name == "stats":
        about = StatsRecorder.load(out / "stats.json").about
        assert about["clips"] == len(good) and {Path(f).name for f in about["skipped"]} == reported.keys()
        assert about["seconds"] == pytest.approx(len(good) - 1 + 20)
    elif name == "drift":
        live = StatsRecorder.load(out / "live.json")
        assert live.clips.bins.n == len(good) and len(live.about["skipped"]) == len(bad)
    elif name == "compare":
        [lines] = [file.read_text().splitlines() for file in out.glob("results*.jsonl")]
        settings, rows = json.loads(lines[0])["settings"], list(map(json.loads, lines[1:]))
        assert len(settings["table"]) == sum(len(row["truth"]) for row in rows) == len(good)
        assert {Path(name).name for name in settings["skipped"]} == reported.keys() and all(
            np.isfinite(row["valid_loss"]) for row in rows
        )
    else:
        rows = json.loads(printed)
        assert {Path(row["file"]).name for row in rows if "error" in row} == reported.keys()
        whole = {Path(row["file"]).name: row["end"] for row in rows if "error" not in row}
        assert {name: end for name, end in whole.items() if name in good} == {
            name: 20.0 if name == "good.ogg" else 1.0 for name in good
        }
        assert all(np.isclose(sum(row["probabilities"].values()), 1, atol=1e-4) for row in rows if "error" not in row)
