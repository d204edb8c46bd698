"""Leaks that are constructed: a group, and the same audio, in training and validation."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from fastaudio_norm.audio import cached_clips
from fastaudio_norm.comparison import compare
from fastaudio_norm.data import assign_folds, check_groups, read_clips, shared_audio


@pytest.mark.parametrize("seed", range(5))
def test_a_group_on_both_sides_is_refused_and_new_folds_have_none(seed):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({"file": [f"{i}.wav" for i in range(60)], "label": ["a", "b"] * 30})
    df = assign_folds(df.assign(group=[f"g{i}" for i in rng.integers(0, 20, 60)]), 3, seed)
    check_groups(df, [1, 2, 3])
    moved = df.copy()
    moved.loc[0, "fold"] = 1 + df.fold[0] % 3
    alone = (df.group == df.group[0]).sum() == 1
    if not alone:
        with pytest.raises(ValueError, match=rf"share 1 of .* groups \({df.group[0]}\), for example in .*\b0.wav"):
            check_groups(moved, [moved.fold[0]])


def test_compare_refuses_speakers_on_both_sides_before_any_work(made_up, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.comparison.run.cached_clips", lambda *args: pytest.fail("read the clips"))
    table = read_clips(made_up).assign(group=lambda df: df["take"].astype(str))
    with pytest.raises(ValueError, match="Fold 1 and its training folds share"):
        compare(made_up, table=table)


def test_the_same_audio_is_found_whatever_the_file(made_up, tmp_path):
    df = read_clips(made_up)
    first, twin, silent = df.file[df.fold == 1].iloc[0], "audio/twin.flac", ["audio/s1.wav", "audio/s2.wav"]
    (tmp_path / "audio").mkdir()
    for file in df.file[:20]:
        (tmp_path / file).symlink_to(made_up / file)
    samples, rate = soundfile.read(made_up / first)
    soundfile.write(tmp_path / twin, samples, rate)
    for file in silent:
        soundfile.write(tmp_path / file, np.zeros(rate), rate)
    files = [*df.file[:20], twin, *silent]
    table = pd.DataFrame({"file": files, "label": "x", "fold": [*df.fold[:20], 2, 1, 2]})
    clips = cached_clips(table, tmp_path)
    assert clips.duplicates() == [[first, twin]]
    report = shared_audio(table, [1], clips.duplicates())
    assert f"{first} (fold 1)" in report and f"{twin} (fold 2)" in report
    assert not shared_audio(table.assign(fold=[*df.fold[:20], 1, 1, 2]), [1, 2], clips.duplicates())
