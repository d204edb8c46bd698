"""A measurement shared among processes, started as `torchrun` starts them."""

import re
import signal

import matplotlib.pyplot as plt
import torch
from support import COMMAND, start_ranks

from fastaudio_norm.cli.main import main
from fastaudio_norm.stats.recorder import StatsRecorder


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
    arguments = ["stats", tmp_path / "clips", "--out"]
    ranks = start_ranks(tmp_path, COMMAND, *arguments, tmp_path / "several")
    printed = [rank.printed() for rank in ranks]
    assert [rank.status for rank in ranks] == [0, 0], printed
    ours = [re.sub(r"(?m)^\[Gloo\].*\n?", "", out) for out, _ in printed]  # torch 2.9 also prints
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
    arguments = ["stats", made_up, "--timeout", "60", "--out", tmp_path / "out"]
    first, second = start_ranks(tmp_path, SECOND_RANK_DIES, *arguments)
    _, error = first.printed()  # fails if the process hangs
    second.printed()
    assert second.status == -signal.SIGKILL
    assert first.status == 2 and "Another process ended early" in error.splitlines()[-1]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["stats.part.json.0"]  # to resume from
