"""Finished runs survive interruptions of the process and damage to the file is found."""

import json
import multiprocessing

import pytest

from fastaudio_norm.comparison.results import Results

ROWS = [{"norm": "none", "fold": fold, "accuracy": fold / 10} for fold in range(5)]


def add_rows(folder, settings, rows=()):
    "Rows of the file after adding `rows`, and its path."
    with Results(folder, settings) as results:
        for row in rows:
            results.add(row)
        return results.rows, results.path


def test_rows_are_saved_and_settings_choose_the_file(tmp_path):
    add_rows(tmp_path, {"epochs": 3}, ROWS[:3])
    assert add_rows(tmp_path, {"epochs": 3}, ROWS[3:])[0] == ROWS
    assert add_rows(tmp_path, {"epochs": 4})[0] == [] and len(list(tmp_path.glob("*.jsonl"))) == 2
    assert add_rows(tmp_path, {"b": [1, 2], "a": 1.5})[1] == add_rows(tmp_path, {"a": 1.5, "b": [1, 2]})[1]


def test_a_truncated_file_keeps_its_complete_rows(tmp_path):
    rows, path = add_rows(tmp_path, {"epochs": 3}, ROWS)
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        complete = max(0, whole[:end].count(b"\n") - 1)
        assert add_rows(tmp_path, {"epochs": 3})[0] == ROWS[:complete]
        assert add_rows(tmp_path, {"epochs": 3}, ROWS[complete:])[0] == ROWS
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "damage",
    [lambda b: b.replace(b"{", b"", 2), lambda b: b"[]\n" + b, lambda b: b"\x00\xff\n" + b, lambda b: b"\n" + b],
)
def test_damaged_files_are_reported_and_not_changed(damage, tmp_path):
    _, path = add_rows(tmp_path, {"epochs": 3}, ROWS)
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"{path.name} is damaged: move it away"):
        add_rows(tmp_path, {"epochs": 3})
    assert path.read_bytes() == before
    with pytest.raises(ValueError):
        add_rows(tmp_path, {"epochs": 3})  # again: the first error released the lock


def test_settings_that_do_not_match_the_name_are_refused(tmp_path):
    _, path = add_rows(tmp_path, {"epochs": 3}, ROWS)
    first, *rest = path.read_text().splitlines(True)
    path.write_text(json.dumps({**json.loads(first), "settings": {"epochs": 5}}) + "\n" + "".join(rest))
    with pytest.raises(ValueError, match="made with other settings than its name says"):
        add_rows(tmp_path, {"epochs": 3})


def keep_open(folder, ready, done):
    with Results(folder, {"epochs": 3}) as results:
        results.add(ROWS[0])
        ready.set()
        done.wait(60)


def test_only_one_process_can_open_a_file(tmp_path):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=keep_open, args=(tmp_path, ready, done))
    process.start()
    assert ready.wait(60)
    with pytest.raises(ValueError, match="Another process is writing to"):
        add_rows(tmp_path, {"epochs": 3})
    process.kill()  # releases the lock
    process.join()
    assert add_rows(tmp_path, {"epochs": 3})[0] == ROWS[:1]


def test_values_that_json_cannot_hold_are_not_written(tmp_path):
    with Results(tmp_path, {"epochs": 3}) as results:
        with pytest.raises(ValueError):
            results.add({"accuracy": float("nan")})
    assert add_rows(tmp_path, {"epochs": 3}, ROWS)[0] == ROWS


def test_every_changed_byte_of_a_run_is_found(tmp_path):
    rows, path = add_rows(tmp_path, {"epochs": 3}, ROWS)
    whole = path.read_bytes()
    header, second = whole.index(b"\n") + 1, whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for i in range(header, second - 1):
        for change in (1, 16):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ change]) + whole[i + 1 :])
            with pytest.raises(ValueError, match="is damaged: move it away.*line 2 is not"):
                add_rows(tmp_path, {"epochs": 3})
    path.write_bytes(whole[:second] + whole[second:].replace(b"0.4", b"0.9"))
    with pytest.raises(ValueError, match="line 6 is not what was written"):
        add_rows(tmp_path, {"epochs": 3})


def test_files_of_earlier_versions_are_continued(tmp_path):
    with Results(tmp_path, {"epochs": 3}) as results:
        path = results.path
    header = {"kind": "fastaudio_norm results", "version": 1, "settings": {"epochs": 3}}
    path.write_text("".join(json.dumps(line) + "\n" for line in [header, *ROWS[:2]]))
    assert add_rows(tmp_path, {"epochs": 3}, ROWS[2:])[0] == ROWS
    assert add_rows(tmp_path, {"epochs": 3})[0] == ROWS
