"""Runs in several processes: the results of one process, whatever happens to the processes."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from support import COMMAND, PROCESSES, SMALL_ARCH, Program, start_ranks
from worker_functions import train_slowly

from fastaudio_norm.comparison import compare
from fastaudio_norm.comparison.parallel import in_processes
from fastaudio_norm.comparison.training import train_runs
from fastaudio_norm.data import find_metric
from fastaudio_norm.train import Recipe

RUNS = [(fold, norm, run) for fold in (1, 2) for norm in ("none", "wave") for run in range(2)]


@pytest.fixture(autouse=True)
def quick_start(monkeypatch):
    "Start processes that have the libraries already."
    monkeypatch.setattr("fastaudio_norm.comparison.parallel.CONTEXT", PROCESSES)


def lines(file):
    return sorted(Path(file).read_bytes().splitlines())


def test_several_processes_give_the_results_of_one(made_up, tmp_path):
    options = {"norms": ["none", "channel"], "folds": [1, 2], "recipe": Recipe(epochs=1), "bs": 16, "arch": SMALL_ARCH}
    one, two = (compare(made_up, **options, jobs=jobs, out=tmp_path / str(jobs)) for jobs in (1, 2))
    assert one.equals(two) and lines(one.attrs["file"]) == lines(two.attrs["file"])


def test_each_run_is_trained_once_and_processes_keep_their_loaders():
    rows = []
    in_processes(2)(partial(train_slowly, seconds=0.05), RUNS, lambda: None, rows.append)
    assert sorted((row["fold"], row["norm"], row["run"]) for row in rows) == RUNS
    for fold, norm, _ in RUNS:  # both runs of a fold and normalization were trained by one process
        assert len({row["pid"] for row in rows if (row["fold"], row["norm"]) == (fold, norm)}) == 1


@pytest.mark.parametrize("way", ["raise", "exit"])
def test_a_failing_run_ends_with_its_error_and_keeps_finished_ones(way, tmp_path):
    train = partial(train_slowly, seconds=0.05, bad=(2, "wave", 1), way=way)
    expected = pytest.raises(ValueError, match="is bad") if way == "raise" else pytest.raises(ChildProcessError)
    with expected as error:
        train_runs(tmp_path, {"a": 1}, RUNS, train, find_metric(), epochs=1, jobs=2)
    assert way == "raise" or "before it finished fold 2, wave, run 2" in str(error.value)
    _, rows = train_runs(tmp_path, {"a": 1}, RUNS, partial(train_slowly, seconds=0), find_metric(), epochs=1, jobs=2)
    assert list(zip(rows.fold, rows.norm, rows.run)) == RUNS
    assert rows.pid.nunique() > 2  # some are of the first call


SLOW = """
import signal, sys
from functools import partial
from support import PROCESSES
from worker_functions import train_slowly
import fastaudio_norm.comparison.parallel as parallel
from fastaudio_norm.comparison.training import train_runs
from fastaudio_norm.data import find_metric
parallel.CONTEXT = PROCESSES
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore SIGINT
train = partial(train_slowly, seconds=0.3)
train_runs(sys.argv[1], {"a": 1}, [(1, "none", i) for i in range(8)], train, find_metric(), 1, jobs=2)
"""


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(number, tmp_path):
    program = Program(tmp_path, SLOW, tmp_path, PYTHONPATH=str(Path(__file__).parents[1]))
    while not (files := list(tmp_path.glob("*.jsonl"))) or len(files[0].read_text().splitlines()) < 3:
        assert program.status is None, program.printed()
        time.sleep(0.05)
    program.send_signal(number)
    program.printed()
    pids = {int(line.split('"pid": ')[1].split(",")[0]) for line in files[0].read_text().splitlines()[1:]}
    deadline = time.monotonic() + 30
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(is_running, pids))


def test_functions_that_new_processes_cannot_import_are_refused():
    with pytest.raises(ValueError, match="from the top level of a .py file"):
        in_processes(2)(lambda run, each_epoch: {}, RUNS, None, None)


def test_the_processes_of_torchrun_give_the_results_of_one(made_up, tmp_path):
    options = {"norms": ["none", "channel"], "folds": [1], "recipe": Recipe(epochs=1), "bs": 16, "arch": SMALL_ARCH}
    one = compare(made_up, **options, out=tmp_path / "one")
    arguments = f"--norms none channel --folds 1 --epochs 1 --bs 16 --arch {SMALL_ARCH}".split()
    ranks = start_ranks(tmp_path, COMMAND, "compare", "--path", made_up, "--out", tmp_path / "two", *arguments)
    (out, err), (quiet, _) = [rank.printed() for rank in ranks]
    assert [rank.status for rank in ranks] == [0, 0], err
    assert "accuracy" in out and "vs none" not in quiet
    assert lines(one.attrs["file"]) == lines(tmp_path / "two" / Path(one.attrs["file"]).name)


RANK = """
import os, sys
from functools import partial
from worker_functions import train_slowly
from fastaudio_norm.comparison.training import train_runs
from fastaudio_norm.data import find_metric
if os.environ["RANK"] == "1" and sys.argv[2] == "settings":
    settings = {"a": 2}
else:
    settings = {"a": 1}
bad = (1, "none", 2) if sys.argv[2] == "run" else None
runs = [(1, "none", i) for i in range(4)]
train = partial(train_slowly, seconds=0.2, bad=bad, way="raise")
for _ in range(2):  # two comparisons in one program
    _, rows = train_runs(sys.argv[1], settings, runs, train, find_metric(), 1)
    print(len(rows), rows.pid.nunique())
"""


@pytest.mark.parametrize("fails, message", [("nothing", ""), ("run", "is bad"), ("settings", "need the same clips")])
def test_errors_end_all_processes_of_torchrun(fails, message, tmp_path):
    ranks = start_ranks(tmp_path, RANK, tmp_path, fails, PYTHONPATH=str(Path(__file__).parents[1]))
    printed = [rank.printed() for rank in ranks]
    assert [rank.status for rank in ranks] == ([1, 1] if message else [0, 0]), printed
    assert message in printed[0][1]
    if not message:
        assert all(out.splitlines().count("4 2") == 2 for out, _ in printed)
