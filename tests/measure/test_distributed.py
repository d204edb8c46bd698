"""A measurement shared among processes, started as `torchrun` starts them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import torch

from fastaudio_norm.cli.main import main
from fastaudio_norm.stats.recorder import StatsRecorder

COMMAND = "import sys; from fastaudio_norm.cli.main import main; main(sys.argv[1:])"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(rank, world_size, port, *arguments, program=COMMAND):
    env = {
        **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size), "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "MPLBACKEND": "agg",
    }  # fmt: skip
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_same_statistics(a, b):
    a, b = StatsRecorder.load(a), StatsRecorder.load(b)
    assert torch.equal(a.count, b.count) and a.about == b.about and a.settings == b.settings
    assert ((a.mean - b.mean).abs() / b.std).max() < 1e-12 and (a.std / b.std - 1).abs().max() < 1e-12
    for name in ("min", "max", "median", "iqr"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_two_processes_measure_what_one_process_measures(made_up, tmp_path):
    "Also if there is only one file, so that the second process has nothing to do."
    (tmp_path / "clips").mkdir()
    [file, *_] = sorted((made_up / "audio").iterdir())
    (tmp_path / "clips" / file.name).symlink_to(file)
    arguments, port = ["stats", tmp_path / "clips", "--out"], free_port()
    ranks = [start(r, 2, port, *arguments, tmp_path / "several") for r in range(2)]
    printed = [(rank.communicate(timeout=240), rank.returncode) for rank in ranks]
    assert [code for _, code in printed] == [0, 0], printed
    ours = [re.sub(r"(?m)^\[Gloo\].*\n?", "", out) for (out, _), _ in printed]  # torch 2.9 also prints
    assert [bool(out) for out in ours] == [True, False]
    main([*map(str, arguments), str(tmp_path / "one")])
    assert_same_statistics(tmp_path / "several" / "stats.json", tmp_path / "one" / "stats.json")
    plt.close("all")


SECOND_RANK_DIES = """
import os, signal, sys
from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import Measurement
if os.environ["RANK"] == "1":
    add, seen = Measurement.add, []
    def add_or_die(self, *clip):
        seen.append(clip)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, *clip)
    Measurement.add = add_or_die
main(sys.argv[1:])
"""


def test_if_a_process_dies_the_others_end_with_an_error(made_up, tmp_path):
    port, began = free_port(), time.monotonic()
    arguments = ["stats", made_up, "--timeout", "60", "--out", tmp_path / "out"]
    first, second = (start(r, 2, port, *arguments, program=SECOND_RANK_DIES) for r in (0, 1))
    _, error = first.communicate(timeout=240)
    assert second.wait() == -signal.SIGKILL
    assert first.returncode == 2 and "Another process ended early" in error.splitlines()[-1]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["stats.part.json.0"]  # to resume from
    assert time.monotonic() - began < 240  # no hang
