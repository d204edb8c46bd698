"""Commands that are stopped, or run out of disk space or memory: no work is lost, and no file is incomplete."""

import errno
import os
import signal
import time

import pytest
import torch
from support import COMMAND, Program

from fastaudio_norm.audio.cache import cache_folder
from fastaudio_norm.cli.main import main

# ---- signals

SLOW = """
import signal, sys, time
from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import Measurement, checkpoint
add = Measurement.add
def add_slowly(self, *args):
    add(self, *args)
    time.sleep(0.3)
Measurement.add, checkpoint.SAVE_INTERVAL = add_slowly, 0
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore SIGINT
main(sys.argv[1:])
"""


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_command_says_how_to_resume(number, status, clips, tmp_path):
    stopped = Program(tmp_path, SLOW, "stats", clips, "--out", tmp_path / "out")
    while not (tmp_path / "out" / "stats.part.json").exists():
        assert stopped.status is None, stopped.printed()
        time.sleep(0.05)
    stopped.send_signal(number)
    _, err = stopped.printed()
    assert stopped.status == status and "Traceback" not in err
    assert "stopped; run the same command again to resume" in err.splitlines()[-1]
    again = Program(tmp_path, COMMAND, "stats", clips, "--out", tmp_path / "out")
    out, err = again.printed()
    assert again.status == 0 and "Resuming after" in err and "30 clips" in out
    assert sorted(f.name for f in (tmp_path / "out").iterdir()) == ["stats.json", "stats.png"]


# ---- disk space and memory


LIMITED = """
import resource, sys
from fastaudio_norm.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
main(sys.argv[1:])
"""


def test_a_command_that_cannot_write_leaves_no_incomplete_file(clips, tmp_path):
    out = tmp_path / "out"
    limited = Program(tmp_path, LIMITED, "stats", clips, "--out", out)
    _, err = limited.printed()
    assert limited.status == 2 and "Traceback" not in err
    assert os.strerror(errno.EFBIG) in err and "stats.json" in err
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["stats", "no/such/clips", "--out", "/dev/null/x"])
    assert capsys.readouterr().err.splitlines()[-1].endswith("Give another folder: --out")


def test_without_a_home_the_cache_is_in_an_absolute_folder(monkeypatch):
    monkeypatch.delenv("FASTAUDIO_NORM_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # unchanged, as without a home
    assert cache_folder().is_absolute()


def test_a_full_gpu_is_reported_with_what_to_do(monkeypatch, capsys):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("fastaudio_norm.comparison.compare", full)
    with pytest.raises(SystemExit, match="2"):
        main(["compare", "--path", "x"])
    assert "out of GPU memory; use a smaller --bs. CUDA out of memory" in capsys.readouterr().err
