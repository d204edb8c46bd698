"""Finished runs stay finished, whatever happens to the process."""

import json
import multiprocessing

import pytest

from fastaudio_norm.comparison.results import Results

ROWS = [{"norm": "none", "fold": fold, "accuracy": fold / 10} for fold in range(5)]


def kept(folder, settings, rows=()):
    with Results(folder, settings) as results:
        for row in rows:
            results.add(row)
        return results.rows, results.path


def test_rows_stay(tmp_path):
    kept(tmp_path, {"epochs": 3}, ROWS[:3])
    assert kept(tmp_path, {"epochs": 3}, ROWS[3:])[0] == ROWS
    assert kept(tmp_path, {"epochs": 4})[0] == [] and len(list(tmp_path.glob("*.jsonl"))) == 2
    assert kept(tmp_path, {"b": [1, 2], "a": 1.5})[1] == kept(tmp_path, {"a": 1.5, "b": [1, 2]})[1]


def test_a_file_cut_anywhere_has_the_rows_before(tmp_path):
    rows, path = kept(tmp_path, {"epochs": 3}, ROWS)
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        complete = max(0, whole[:end].count(b"\n") - 1)
        assert kept(tmp_path, {"epochs": 3})[0] == ROWS[:complete]
        assert kept(tmp_path, {"epochs": 3}, ROWS[complete:])[0] == ROWS
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [lambda b: b.replace(b"{", b"", 2), lambda b: b"[]\n" + b, lambda b: b"\x00\xff\n" + b, lambda b: b"\n" + b],
)
def test_damage_is_named_and_nothing_is_written_over(damage, tmp_path):
    _, path = kept(tmp_path, {"epochs": 3}, ROWS)
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"{path.name} was damaged"):
        kept(tmp_path, {"epochs": 3})
    assert path.read_bytes() == before
    with pytest.raises(ValueError):
        kept(tmp_path, {"epochs": 3})  # and the lock was given back


def test_settings_that_do_not_fit_the_name(tmp_path):
    _, path = kept(tmp_path, {"epochs": 3}, ROWS)
    first, *rest = path.read_text().splitlines(True)
    path.write_text(json.dumps({**json.loads(first), "settings": {"epochs": 5}}) + "\n" + "".join(rest))
    with pytest.raises(ValueError, match="other settings"):
        kept(tmp_path, {"epochs": 3})


def _hold(folder, ready, done):
    with Results(folder, {"epochs": 3}) as results:
        results.add(ROWS[0])
        ready.set()
        done.wait(60)


def test_two_processes_cannot_share_a_file(tmp_path):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, ready, done))
    process.start()
    assert ready.wait(60)
    with pytest.raises(ValueError, match="Another process is adding to"):
        kept(tmp_path, {"epochs": 3})
    process.kill()  # which gives the lock back
    process.join()
    assert kept(tmp_path, {"epochs": 3})[0] == ROWS[:1]


def test_what_json_cannot_hold_is_not_written(tmp_path):
    with Results(tmp_path, {"epochs": 3}) as results:
        with pytest.raises(ValueError):
            results.add({"accuracy": float("nan")})
    assert kept(tmp_path, {"epochs": 3}, ROWS)[0] == ROWS
