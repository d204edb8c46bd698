"""Worker processes, and files that kill them."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from support import PROCESSES, Program
from worker_functions import length

from fastaudio_norm.audio import workers
from fastaudio_norm.audio.workers import map_in_processes


@pytest.mark.parametrize("context", [multiprocessing.get_context("fork"), PROCESSES], ids=["inherited", "pickled"])
def test_results_come_in_order_and_files_that_kill_processes_are_named(context, tmp_path, monkeypatch, capsys):
    "Forked processes inherit the function and its data, others get them pickled."
    monkeypatch.setattr(workers, "get_context", lambda _: context)
    files = [tmp_path / ("x" * n) for n in range(1, 20)]
    files[2:2] = [tmp_path / "deadly", tmp_path / "bad", tmp_path / "deadly once"]
    found = list(map_in_processes(length, files))
    assert [file for file, _, _ in found] == files
    errors = {file.name: error.reason for file, _, error in found if error}
    assert errors.keys() == {"deadly", "bad"} and errors["bad"] == "is bad" and "process" in errors["deadly"]
    assert all(result == len(file.name) for file, result, error in found if not error)
    printed = capsys.readouterr().err
    assert "A worker process died" in printed and "deadly" in printed


def test_only_a_few_files_are_read_ahead(tmp_path):
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
    os.write(1, f"{os.getpid()}\\n".encode())  # in one call; print may write the line break later
    time.sleep(2)
list(map_in_processes(work, map(Path, "abcdefghij")))
"""


def test_workers_exit_when_their_parent_is_killed(tmp_path):
    parent = Program(tmp_path, ORPHANS)
    while len(pids := parent.out.read_text().splitlines() if parent.out.exists() else []) < os.cpu_count():
        assert parent.status is None, parent.printed()
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    for pid in pids:
        for _ in range(100):
            if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
                break
            time.sleep(0.1)
        else:
            raise AssertionError(f"process {pid} is still running")
