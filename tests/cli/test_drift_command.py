"""`fastaudio-norm drift`: report, files, exit status, and statistics that it refuses."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from drift_support import save_model, write_filtered

from fastaudio_norm.cli.main import main
from fastaudio_norm.monitor import update_stats
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.storage import read_json, write_json


@pytest.fixture(scope="module")
def measured(made_up, tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured")
    main(["stats", str(made_up), "--out", str(folder)])
    return folder / "stats.json"


@pytest.fixture
def stats(measured, tmp_path):
    "Copy of the statistics of all clips that a test may change."
    return Path(shutil.copy(measured, tmp_path))


def muffle(samples, rate):
    return scipy.signal.sosfilt(scipy.signal.butter(8, 4000, fs=rate, output="sos"), samples)


def test_drift_command(made_up, stats, tmp_path, capsys):
    main(["drift", str(stats), str(made_up), "--out", str(tmp_path / "same")])
    assert "50 clips: no drift" in capsys.readouterr().out
    muffled = tmp_path / "muffled"
    write_filtered(made_up, muffled, muffle)
    with pytest.raises(SystemExit) as stopped:
        main(["drift", str(stats), str(muffled), "--out", str(muffled)])
    assert stopped.value.code == 1 and "everything above" in capsys.readouterr().out
    assert StatsRecorder.load(muffled / "live.json").clips.bins.n == 50
    assert (muffled / "drift.png").stat().st_size > 10_000


def status(*arguments):
    "Exit status of `fastaudio-norm drift`."
    try:
        main(["drift", *map(str, arguments)])
    except SystemExit as stopped:
        return stopped.code
    return 0


def test_a_watch_counts_new_files_and_alarms_for_those_that_changed(made_up, stats, tmp_path, capsys):
    folder = tmp_path / "arrived"
    files = write_filtered(made_up, folder, lambda samples, rate: samples)
    options = [stats, folder, "--out", tmp_path / "out", "--expect-alarm-every", 10_000]
    capsys.readouterr()
    assert status(*options, "--quiet") == 0 and capsys.readouterr() == ("", "")
    assert status(*options) == 0 and "0 new clips" in capsys.readouterr().out
    for file in files[:30]:
        samples, rate = soundfile.read(file)
        soundfile.write(folder / f"new-{file.name}", muffle(samples, rate), rate, subtype="FLOAT")
    assert status(*options, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["clips"] == 30 and report["watched"] == 80 and report["status"] == 1 and 50 < report["alarms"][0] < 60
    assert "new-" in report["files"][0] and "above" in report["words"][0]
    assert "<h1>Drift</h1>" in (tmp_path / "out" / "drift.html").read_text()
    update_stats(stats, tmp_path / "out" / "live.json")
    for file in files[:2]:
        shutil.copy(file, folder / f"last-{file.name}")
    assert status(*options) in (0, 1) and "the watch started again" in capsys.readouterr().out


def test_calibration_takes_sessions_from_subfolders(made_up, stats, tmp_path, capsys):
    held_out = tmp_path / "held-out"
    for i, file in enumerate(sorted((made_up / "audio").iterdir())[:12]):
        (held_out / str(i // 2)).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, held_out / str(i // 2))
    (tmp_path / "arrived").mkdir()
    shutil.copy(file, tmp_path / "arrived")
    options = [stats, tmp_path / "arrived", "--calibrate", held_out, "--out", tmp_path / "out"]
    assert status(*options) == 2 and "--calibrate needs --expect-alarm-every" in capsys.readouterr().err
    assert status(*options, "--expect-alarm-every", 100) == 0
    assert "Calibrated on 6 sessions" in capsys.readouterr().out and (tmp_path / "out" / "watch.json").exists()


@pytest.fixture(scope="module")
def model(made_up, tmp_path_factory):
    "Untrained model for the synthetic clips."
    return save_model(made_up, "none", tmp_path_factory.mktemp("model") / "model.safetensors")


def test_a_model_adds_the_network_and_the_estimated_accuracy(made_up, stats, model, tmp_path, capsys):
    shutil.copy(model, tmp_path)
    own, out = tmp_path / "model.safetensors", tmp_path / "out"
    assert status(stats, made_up, "--model", own, "--out", out) == 2
    assert "No such reference" in capsys.readouterr().err
    assert status(stats, made_up, "--model", own, "--reference", made_up, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "network: no drift" in printed and re.search(r"estimated accuracy \d", printed)
    shutil.copy(out / "reference.json", tmp_path)  # beside the model
    muffled = tmp_path / "muffled"
    write_filtered(made_up, muffled, muffle)
    capsys.readouterr()
    assert status(stats, muffled, "--model", own, "--out", out, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["alarm"] and report["network"]["tests"].keys() == {"features", "confidence", "outputs"}
    estimate = report["estimated_accuracy"]
    assert estimate["low"] <= estimate["value"] <= estimate["high"]
    page = (out / "drift.html").read_text()
    assert "<h2>Network: " in page and "<h2>Estimated accuracy</h2>" in page


def test_a_reference_without_labels_gives_no_estimate(made_up, stats, model, tmp_path, capsys):
    held_out = tmp_path / "held-out"
    shutil.copytree(made_up / "audio", held_out)
    assert status(stats, made_up, "--model", model, "--reference", held_out, "--out", tmp_path / "out") == 0
    assert "no estimated accuracy: The held-out clips have no labels" in capsys.readouterr().out


def test_options_of_a_model_are_checked(made_up, stats, model, tmp_path, capsys):
    out = ["--out", tmp_path / "out"]
    for options, message in (
        (["--reference", made_up], "--reference is of a model, which is missing: --model"),
        (["--label", "category"], "--label describes the clips of --reference, which is missing"),
        (["--model", "model.onnx"], "is an export, which does not show its features"),
        (["--model", model, "--reference", made_up / "audio" / "gone"], "No such reference"),
        (["--model", model, "--reference", stats], "is not a network reference file"),
    ):
        assert status(stats, made_up, *options, *out) == 2 and message in capsys.readouterr().err


def test_a_watch_of_the_network_continues_from_run_to_run(made_up, stats, model, tmp_path, capsys):
    folder, out = tmp_path / "arrived", tmp_path / "out"
    write_filtered(made_up, folder, lambda samples, rate: samples)
    options = [stats, folder, "--model", model, "--out", out, "--expect-alarm-every", 10_000]
    assert status(*options, "--reference", made_up, "--calibrate", folder) in (0, 1)
    assert re.search(r"Calibrated on 50 sessions: thresholds times [\d.]+ and [\d.]+", capsys.readouterr().out)
    assert read_json(out / "watch.json", "watch", 1)["network"]["clips"] == 50
    for file in sorted(folder.iterdir())[:30]:
        samples, rate = soundfile.read(file)
        noise = np.random.default_rng(0).standard_normal(samples.shape)
        soundfile.write(folder / f"new-{file.name}", noise, rate, subtype="FLOAT")
    assert status(*options, "--reference", out / "reference.json", "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report["network"]["alarms"][0] > 50 and report["network"]["words"]
    assert read_json(out / "watch.json", "watch", 1)["network"]["clips"] == 80


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c["settings"].update(n_fft=10**15), "spectrograms have"),
        (lambda c: c["settings"].update(n_fft="many"), "spectrograms have"),
        (lambda c: c["settings"].update(n_mels=-3), "spectrograms have"),
        (lambda c: c["about"].update(spectrogram="../../etc/passwd"), "Unknown spectrogram"),
        (lambda c: c["about"].update(spectrogram=["mel"]), "Unknown spectrogram"),
        (lambda c: c["about"].pop("spectrogram"), "do not name their spectrogram"),
        (lambda c: c["clips"]["bins"].__setitem__(slice(None), [[0.0], [1.0]]), "does not contain valid statistics"),
        (lambda c: c["clips"].update(n=10**40), "the number of clips must be a whole number"),
        (lambda c: c["clips"]["features"][1].pop(), "does not contain valid statistics"),
        (lambda c: c.pop("clips"), "must record how clips differ"),
    ],
)
def test_malicious_statistics_are_refused(change, message, made_up, stats, tmp_path, capsys):
    content = read_json(stats, "statistics", 1)
    change(content)
    write_json(stats, "statistics", 1, content)
    with pytest.raises(SystemExit) as stopped:
        main(["drift", str(stats), str(made_up), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and re.search(message, capsys.readouterr().err)
