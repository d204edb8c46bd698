"""Files that cannot be used: named, and left out if one wants it; and processes that die."""

import ctypes
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
from bad_audio import make_bad_audio

from fastaudio_norm.audio import workers as workers_module
from fastaudio_norm.audio.files import BadAudio, check_files, open_audio, printable_path, read_clip
from fastaudio_norm.audio.workers import map_in_processes
from fastaudio_norm.cli.main import main
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.serve.classifier import as_pipeline
from fastaudio_norm.stats.recorder import StatsRecorder
from fastaudio_norm.train.learner import spec_learner
from fastaudio_norm.train.recipe import Recipe, make_tfms


@contextmanager
def as_anyone():
    "Without root's right to read what is forbidden, which threads and processes that are started meanwhile lack, too."
    if os.geteuid():
        yield
        return
    libc, header, capabilities = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, capabilities)
    before = capabilities[0]
    capabilities[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(header, capabilities) == 0
    try:
        yield
    finally:
        capabilities[0] = before
        libc.capset(header, capabilities)


def in_table(expected):
    "A table is UTF-8, and cannot name each file."
    return {name: reason for name, reason in expected.items() if name.isprintable() or "\n" in name}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    "Folder in ESC-50's layout of good and bad files; and what is expected of each."
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "audio").mkdir()
    (folder / "meta").mkdir()
    expected = make_bad_audio(folder / "audio")
    rows = [(name, 1 + i % 2, "xy"[i // 2 % 2]) for i, name in enumerate(sorted(in_table(expected)))]
    table = pd.DataFrame(rows, columns=["filename", "fold", "category"])
    table.to_csv(folder / "meta" / "esc50.csv", index=False)
    return folder, expected


def test_each_file_is_read_or_has_its_reason(corpus):
    folder, expected = corpus
    with as_anyone():
        for name, reason in expected.items():
            try:
                clip = read_clip(folder / "audio" / name, 16000)
                found = "1 sample is too few" if clip.nsamples == 1 else None  # for a spectrogram, that is
                if not found:
                    assert clip.shape == (1, 320000 if name == "good.ogg" else 16000) and clip.sr == 16000
            except BadAudio as e:
                found = e.reason
                assert printable_path(name) in str(e) and str(e).isprintable()
            assert (found is None) == (reason is None), (name, found)
            assert reason is None or re.search(reason, found), (name, found)
        headers = {file.name for file in check_files(list((folder / "audio").iterdir()), "skip")[0]}
    only_samples_tell = {"cut good.flac", "cut good.mp3", "NaN.wav", "infinite.wav", "huge.wav", "minus huge.wav"}
    assert headers == {name for name, reason in expected.items() if not reason} | only_samples_tell | {"one sample.wav"}


@pytest.fixture(scope="module")
def model(made_up, tmp_path_factory):
    "File of a network that was trained on next to nothing, and one of statistics."
    folder = tmp_path_factory.mktemp("model")
    df = read_esc50(made_up)
    dls = get_dls(df, made_up, 1, 16, *make_tfms("channel", Recipe()), num_workers=0)
    learn = spec_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    as_pipeline(learn).save(folder / "model.safetensors")
    main(["stats", str(made_up), "--out", str(folder)])
    plt.close("all")
    return folder


def run(argv, capsys):
    "Exit status, output and errors."
    capsys.readouterr()
    try:
        with as_anyone():
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
def test_every_command_stops_before_the_work(name, corpus, model, tmp_path, capsys):
    folder, expected = corpus
    expected = expected if name == "predict" else in_table(expected)
    status, out, err = run(commands(name, folder, model, tmp_path / "out"), capsys)
    assert status == 2 and "Traceback" not in err and not (tmp_path / "out" / "stats.json").exists()
    assert f"11 of {len(expected)} files cannot be used" in err and "and 1 more" in err and "--on-error skip" in err
    assert "cut good.wav: it is cut short: 15,978 of 32,000 bytes" in err


@pytest.mark.parametrize("name", ["stats", "drift", "compare", "predict"])
def test_every_command_skips_and_tells(name, corpus, model, tmp_path, capsys):
    folder, expected = corpus
    expected = expected if name == "predict" else in_table(expected)
    out = tmp_path / "out"
    status, printed, err = run([*commands(name, folder, model, out), "--on-error", "skip"], capsys)
    bad = {name: reason for name, reason in expected.items() if reason}
    if name == "compare":  # which fills short clips with silence
        del bad["one sample.wav"]
    assert status == (1 if name == "drift" else 3) and "Traceback" not in err  # 1 is drift's alarm
    left_out = err.split("Left out, for they cannot be used: ")[1].splitlines()
    assert left_out[0] == str(len(bad))
    told = dict(re.fullmatch(r"  (?:.*/)?([^/]*\.\w+): (.*)", line).groups() for line in left_out[1:])
    assert told.keys() == {printable_path(name) for name in bad}
    assert all(re.search(reason, told[printable_path(name)]) for name, reason in bad.items())
    good = {printable_path(name) for name in expected.keys() - bad.keys()}
    if name == "stats":
        about = StatsRecorder.load(out / "stats.json").about
        assert about["clips"] == len(good) and {Path(f).name for f in about["skipped"]} == told.keys()
        assert about["seconds"] == pytest.approx(len(good) - 1 + 20)
    elif name == "drift":
        live = StatsRecorder.load(out / "live.json")
        assert live.clips.bins.n == len(good) and len(live.about["skipped"]) == len(bad)
    elif name == "compare":
        [lines] = [file.read_text().splitlines() for file in out.glob("results*.jsonl")]
        settings, rows = json.loads(lines[0])["settings"], list(map(json.loads, lines[1:]))
        assert len(settings["table"]) == sum(len(row["truth"]) for row in rows) == len(good)
        assert settings["skipped"].keys() == told.keys() and all(np.isfinite(row["valid_loss"]) for row in rows)
    else:
        rows = json.loads(printed)
        assert {Path(row["file"]).name for row in rows if "error" in row} == told.keys()
        whole = {Path(row["file"]).name: row["end"] for row in rows if "error" not in row}
        assert {name: end for name, end in whole.items() if name in good} == {
            name: 20.0 if name == "good.ogg" else 1.0 for name in good
        }
        assert all(np.isclose(sum(row["probabilities"].values()), 1, atol=1e-4) for row in rows if "error" not in row)


def test_a_file_that_shrinks_while_it_is_read(tmp_path, monkeypatch):
    file = tmp_path / "shrinks.wav"
    soundfile.write(file, np.zeros(100_000), 16000)
    read = soundfile.SoundFile.read

    def shrink_and_read(self, *args, **kwargs):
        os.truncate(file, 10_000)
        return read(self, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", shrink_and_read)
    with pytest.raises(BadAudio, match="cut short: 4,978 of 100,000 samples"):
        read_clip(file, 16000)


def test_a_file_too_long_for_the_memory(tmp_path):
    file = tmp_path / "week.wav"
    soundfile.write(file, np.zeros(100), 16000, format="RF64")
    header = bytearray(file.read_bytes())
    size = 2**40
    for where, number in ((20, size + 72), (28, size), (36, size // 2)):  # ds64: of all, of the data, samples
        header[where : where + 8] = number.to_bytes(8, "little")
    file.write_bytes(header)
    os.truncate(file, size + 80)  # a hole in the file, which takes no place
    with pytest.raises(BadAudio, match="too long for the memory: decoded, it takes 2,048 GiB"):
        with open_audio(file):
            pass


def test_unknown_policies_and_folders_of_nothing_good(tmp_path):
    with pytest.raises(ValueError, match='on_error is "stop" or "skip", not \'ignore\''):
        check_files([], "ignore")
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(ValueError, match="1 of 1 files cannot be used"):
        check_files([tmp_path / "text.wav"], "skip")


# ---- processes


def length(file):
    if file.name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    if file.name == "deadly once" and not file.exists():
        file.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if file.name == "bad":
        raise ValueError("it is bad\nat the second line")
    time.sleep(0.01 * (len(file.name) % 3))
    return len(file.name)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_results_come_in_order_and_the_dead_are_named(context, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers_module, "get_context", lambda _: multiprocessing.get_context(context))
    files = [tmp_path / ("x" * n) for n in range(1, 20 if context == "fork" else 4)]
    files[2:2] = [tmp_path / "deadly", tmp_path / "bad", tmp_path / "deadly once"]
    found = list(map_in_processes(length, files))
    assert [file for file, _, _ in found] == files
    errors = {file.name: error.reason for file, _, error in found if error}
    assert errors.keys() == {"deadly", "bad"} and errors["bad"] == "it is bad" and "process" in errors["deadly"]
    assert all(result == len(file.name) for file, result, error in found if not error)
    told = capsys.readouterr().err
    assert "A process died" in told and "deadly" in told


def test_nothing_is_read_far_ahead(tmp_path):
    asked = []
    results = map_in_processes(length, (asked.append(n) or tmp_path / "x" for n in range(1000)))
    next(results)
    results.close()
    assert len(asked) <= 2 * os.cpu_count() + 2


ORPHANS = """
import os, sys, time
from pathlib import Path
import fastaudio_norm
from fastaudio_norm.audio.workers import map_in_processes
def work(file):
    os.write(1, f"{os.getpid()}\\n".encode())  # at once: unbuffered, print writes the end of a line by itself
    time.sleep(2)
list(in_processes(work, map(Path, "abcdefghij")))
"""


def test_processes_end_with_the_one_that_started_them():
    parent = subprocess.Popen([sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True)
    pids = [int(parent.stdout.readline()) for _ in range(os.cpu_count())]
    parent.kill()
    for pid in pids:
        for _ in range(100):
            if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"process {pid} lives on")
