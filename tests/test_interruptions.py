"""A long run that is killed, told to stop, or finds no place to write: nothing is lost, and nothing is half there."""

import errno
import hashlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile
import torch

from fastaudio_norm import measure as measure_module
from fastaudio_norm.audio.cache import cache_folder
from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import measure
from fastaudio_norm.stats.recorder import StatsRecorder
from fastaudio_norm.storage import atomic_write, check_writable

PROGRAM = "import sys; from fastaudio_norm.cli.main import main; main(sys.argv[1:])"


@pytest.fixture
def clips(made_up, tmp_path):
    "Folder of 30 made-up clips, each a file of its own."
    folder = tmp_path / "clips"
    folder.mkdir()
    for file in sorted((made_up / "audio").iterdir())[:30]:
        shutil.copy(file, folder)
    return folder


class Killed(BaseException):
    "Stands for a signal that nothing can catch: what follows it does not run."


def measured(folder, file, **options):
    "The digest of the file of statistics that comes of it."
    measure(folder, **options).save(file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def killed_after(clips, monkeypatch, folder, checkpoint, **options):
    add, seen = measure_module.Measurement.add, []

    def add_and_die(self, *args):
        if len(seen) == clips:
            raise Killed
        seen.append(args)
        add(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(measure_module.Measurement, "add", add_and_die)
        keep = measure_module._Checkpoint.keep
        patch.setattr(measure_module._Checkpoint, "keep", lambda self, found, now=False: keep(self, found, now=True))
        with pytest.raises(Killed):
            measure(folder, checkpoint=checkpoint, **options)


@pytest.mark.parametrize("options", [{}, {"spec": "linear", "wave": True}, {"fraction": 0.7, "on_error": "skip"}])
def test_what_goes_on_ends_in_the_same_file(options, clips, tmp_path, monkeypatch, capsys):
    soundfile.write(clips / "0 NaN.wav", np.full(9000, np.nan), 16000, subtype="FLOAT")
    if "on_error" not in options:
        (clips / "0 NaN.wav").unlink()
    whole, checkpoint = measured(clips, tmp_path / "whole.json", **options), tmp_path / "part.json"
    for n in (1, 5, 2, 9):
        killed_after(n, monkeypatch, clips, checkpoint, **options)
    assert measured(clips, tmp_path / "stats.json", checkpoint=checkpoint, **options) == whole
    assert "Going on after 1" in capsys.readouterr().err  # 1 + 5 + 2 + 9 and the one with NaN


def test_other_files_or_settings_start_anew(clips, tmp_path, monkeypatch, capsys):
    checkpoint = tmp_path / "part.json"
    killed_after(10, monkeypatch, clips, checkpoint)
    kept = checkpoint.read_bytes()
    assert measured(clips, tmp_path / "a", checkpoint=checkpoint, wave=True) == measured(
        clips, tmp_path / "b", wave=True
    )
    assert "Starting anew" in capsys.readouterr().err
    checkpoint.write_bytes(kept)
    changed = sorted(clips.iterdir())[3]
    samples, sr = soundfile.read(changed)
    soundfile.write(changed, samples / 2, sr)
    assert measured(clips, tmp_path / "a", checkpoint=checkpoint) == measured(clips, tmp_path / "b")
    assert "Starting anew" in capsys.readouterr().err
    checkpoint.write_bytes(kept[:-100])
    with pytest.raises(ValueError, match="part.json is no checkpoint file, or is cut short"):
        measure(clips, checkpoint=checkpoint)


def test_a_bad_clip_that_stops_costs_only_itself(clips, tmp_path, capsys):
    bad = clips / sorted(clips.iterdir())[20].name.replace(".wav", "x.wav")
    soundfile.write(bad, np.full(9000, np.nan), 16000, subtype="FLOAT")
    with pytest.raises(ValueError, match="x.wav: it has NaN"):
        measure(clips, checkpoint=tmp_path / "part.json")
    bad.unlink()
    found = measured(clips, tmp_path / "a", checkpoint=tmp_path / "part.json")
    assert "Going on after 21 of 30" in capsys.readouterr().err
    assert found == measured(clips, tmp_path / "b")


# ---- signals, and no place to write


def started(*argv, **options):
    env = {**os.environ, "MPLBACKEND": "agg", **options.pop("env", {})}
    command = [sys.executable, "-c", options.pop("program", PROGRAM), *map(str, argv)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


SLOW = """
import sys, time
from fastaudio_norm import measure
add = measure.Measurement.add
def slow(self, *args):
    add(self, *args)
    time.sleep(0.3)
measure.Measurement.add, measure.SAVE_INTERVAL = slow, 0
from fastaudio_norm.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_told_to_stop_it_says_how_to_go_on(number, status, clips, tmp_path):
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}  # which background jobs ignore
    process = started("stats", clips, "--out", tmp_path / "out", program=SLOW, **heard)
    while not (tmp_path / "out" / "stats.part.json").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status and "Traceback" not in err
    assert "stopped; the same command goes on" in err.splitlines()[-1]
    again = started("stats", clips, "--out", tmp_path / "out")
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0 and "Going on after" in err and "30 clips" in out
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["stats.json", "stats.png"]


def small_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_where_no_more_can_be_written_nothing_is_half_there(clips, tmp_path):
    out = tmp_path / "out"
    process = started("stats", clips, "--out", out, preexec_fn=small_files)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in err
    assert os.strerror(errno.EFBIG) in err and "stats.json" in err
    assert list(out.iterdir()) == []


def test_a_full_disk_is_told_with_the_file(tmp_path):
    with pytest.raises(OSError, match=f"{os.strerror(errno.ENOSPC)}: .*wanted.json"):
        with atomic_write(tmp_path / "wanted.json") as part:
            part.touch()
            open("/dev/full", "w").write("x" * 10**6)
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written_to_are_refused_before_the_work(clips, tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "deep", "")
    assert not (tmp_path / "new").exists()
    with pytest.raises(OSError, match="/dev/null is no folder. Take another"):
        check_writable("/dev/null/x/y", "Take another")
    process = started("stats", clips, "--out", "/dev/null/x")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2 and err.splitlines()[-1].endswith("Give another folder: --out")
    monkeypatch.delenv("FASTAUDIO_NORM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where there is no home
    assert cache_folder().is_absolute()


def test_a_full_gpu_is_told_with_what_to_do(monkeypatch, capsys):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("fastaudio_norm.cli.main.compare", full)
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "--path", "x"])
    assert "a smaller --bs takes less. CUDA out of memory" in capsys.readouterr().err


# ---- threads


def test_threads_may_update_one_recorder():
    batches = [torch.randn(2, 1, 4, 50, dtype=torch.float64) + i for i in range(200)]
    together, alone, left = StatsRecorder((0, 3), quantiles=True), StatsRecorder((0, 3), quantiles=True), list(batches)
    random.shuffle(left)

    def work():
        while left:
            try:
                together.update(left.pop())
            except IndexError:
                return

    threads = [threading.Thread(target=work) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for batch in batches:
        alone.update(batch)
    assert torch.equal(together.count, alone.count) and together.batches == 200
    assert (together.std / alone.std - 1).abs().max() < 1e-12 and torch.equal(together.median, alone.median)
