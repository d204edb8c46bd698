"""Statistics files are exact, and files with invalid content are refused."""

import json

import pytest
import torch
from recorders import recorded

from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.storage import read_json, write_json


@pytest.fixture
def saved(tmp_path):
    recorder = recorded([torch.randn(3, 1, 4, 50) * 20 - 60], quantiles=True, settings={"n_fft": 400, "window": None})
    recorder.about = {"clips": 3, "folds": [2, 3]}
    recorder.save(tmp_path / "stats.json")
    return recorder, tmp_path / "stats.json"


@pytest.mark.parametrize("quantiles", [False, True])
def test_a_loaded_recorder_is_exact_and_continues_counting(tmp_path, quantiles):
    parts = [torch.randn(3, 1, 4, 50) * 20 - 60, torch.randn(5, 1, 4, 20)]
    parts[0][0, 0, 2] = torch.nan
    recorder = recorded(parts[:1], nonfinite="skip", quantiles=quantiles)
    recorder.save(tmp_path / "stats.json")
    again = StatsRecorder.load(tmp_path / "stats.json")
    names = ["count", "mean", "std"] + (["min", "max", "median", "iqr", "quantile_error"] if quantiles else [])
    for name in names:
        assert torch.equal(getattr(again, name), getattr(recorder, name)), name
    assert repr(again) == repr(recorder)
    for r in (again, recorder):
        r.update(parts[1])
    assert torch.equal(again.mean, recorder.mean) and torch.equal(again.std, recorder.std)
    assert again.skipped == recorder.skipped == 50 and again.batches == 2


def test_a_file_contains_settings_notes_and_the_version(saved):
    recorder, file = saved
    again = StatsRecorder.load(file)
    assert (again.settings, again.about) == (recorder.settings, recorder.about)
    assert json.loads(file.read_text())["content"]["fastaudio_norm"].count(".") == 2


def edit(file, how):
    "Edit the content of a file and update the checksum."
    content = read_json(file, "statistics", 1)
    how(content)
    write_json(file, "statistics", 1, content)


@pytest.mark.parametrize(
    "how, message",
    [
        (lambda c: c.update(means=c.pop("mean")), "KeyError: 'mean'"),
        (lambda c: c["mean"].pop(), "ValueError"),
        (lambda c: c["m2"].__setitem__(0, -1.0), "negative"),
        (lambda c: c["n"].__setitem__(0, -3), "negative|boolean|cannot"),
        (lambda c: c.update(shape=[1, 4, 1, 1]), "cannot have the shape"),
        (lambda c: c.update(shape=[10**12]), "reshape"),
        (lambda c: c["counts"][0].__setitem__(0, 5), "add up"),
        (lambda c: c["counts"].pop(), "shorter"),
        (lambda c: c["counts"][0].extend([0] * 2000), "broadcast"),
        (lambda c: c.update(red_dims="all"), "TypeError|ValueError"),
        (lambda c: c.update(nonfinite="x"), "raise"),
        (lambda c: c.update(mean=["a"] * 4), "could not convert"),
        (lambda c: c.update(mean=None), "TypeError|ValueError"),
        (lambda c: c.update(settings=[1]), "must be a flat dict"),
        (lambda c: c.update(settings={"n_fft": [10**9] * 3}), "must be a flat dict"),
        (lambda c: c.update(about="../../etc/passwd"), "`about` must be a dict"),
        (lambda c: c.update(batches="many"), "whole number"),
        (lambda c: c.update(correction=None), "whole number"),
        (lambda c: c["n"].__setitem__(0, 10**30), "OverflowError"),
        # found by bench/fuzz.py
        (lambda c: c.update(correction=10**400), "whole number"),
        (lambda c: c.update(correction=-(2**63)), "whole number"),
        (lambda c: c.update(batches=-1), "whole number"),
        (lambda c: c.update(red_dims=[False, 1, 3]), "whole number"),
        (
            lambda c: c.update(shape=[1, 1, 0, 1], n=[], mean=[], m2=[], low=[], high=[], counts=[]),
            "expected 1 to 65,536 counts",
        ),
        (
            lambda c: c.update(shape=[1, 1, 10**5, 1], n=[0] * 10**5, mean=[], m2=[], low=[], high=[], counts=[]),
            "expected 1 to 65,536 counts",
        ),
        (lambda c: c.update(quantiles=False, n=[2**63 - 1, 3, 3, 3]), "counts below 2\\*\\*53"),
        (lambda c: c.update(low=c["high"], high=c["low"]), "above the largest"),
        (lambda c: c["counts"][0].extend([2**62] * 4), "add up"),
    ],
)
def test_a_file_with_invalid_content_is_refused(saved, how, message):
    _, file = saved
    edit(file, how)
    with pytest.raises(ValueError, match=f"stats.json does not contain valid statistics: .*({message})"):
        StatsRecorder.load(file)


def test_missing_and_damaged_files_are_refused(saved, tmp_path):
    with pytest.raises(FileNotFoundError):
        StatsRecorder.load(tmp_path / "none.json")
    _, file = saved
    file.write_text(file.read_text().replace("-6", "-7", 1))
    with pytest.raises(ValueError, match="changed after it was written"):
        StatsRecorder.load(file)
    file.write_text(file.read_text()[:-20])
    with pytest.raises(ValueError, match="truncated"):
        StatsRecorder.load(file)


def test_statistics_that_cannot_be_saved_leave_the_existing_file_unchanged(saved):
    recorder, file = saved
    before = file.read_text()
    recorder.about = {"clips": float("nan")}
    with pytest.raises(ValueError):
        recorder.save(file)
    assert file.read_text() == before
