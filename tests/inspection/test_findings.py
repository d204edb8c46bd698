"""Findings, summaries and suggestions of small data sets of every kind."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample
from support import ODD_NAME

from fastaudio_norm.data import read_clips
from fastaudio_norm.inspection import (
    FINDINGS,
    explain_clips,
    find_problems,
    flag_clips,
    format_inspection,
    groupings,
    inspect_clips,
    suggest,
    summarize_clips,
    write_inspection,
)
from fastaudio_norm.inspection.clips import explained_variance

RATE = 8000


def noise(seed, level=-20.0, seconds=0.3, channels=1):
    x = np.random.default_rng(seed).normal(0, 10 ** (level / 20), (round(seconds * RATE), channels))
    return x.clip(-0.9, 0.9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Eight plain clips a.wav to h.wav, and one for each finding."
    folder = tmp_path_factory.mktemp("sounds")
    sounds = {name: noise(i) for i, name in enumerate("abcdefgh")}
    sounds["silent"] = 0 * sounds["a"]
    sounds["half"] = np.r_[noise(20, seconds=0.1), np.zeros((round(0.2 * RATE), 1))]
    sounds["clipped"] = (100 * noise(21)).clip(-1, 1)
    sounds["peak"] = np.r_[noise(22)[:-1], [[1.0]]]
    sounds["offset"] = noise(23) + 0.05
    sounds["quiet"] = noise(24, -60)
    sounds["long"] = noise(25, seconds=0.7)
    sounds["stereo"] = noise(26, channels=2)
    sounds["copy of a"] = sounds["a"]
    for name, x in sounds.items():
        soundfile.write(folder / f"{name}.wav", x, RATE)
    soundfile.write(folder / "rate.wav", noise(27, seconds=0.15), RATE // 2)
    soundfile.write(folder / "upsampled.wav", resample(noise(28)[::2], round(0.3 * RATE)), RATE)
    return folder


@pytest.fixture(scope="module")
def table(folder):
    "Four folds; class x except for the copy; a group in two folds; a class of one clip."
    files = sorted(file.name for file in folder.glob("*.wav"))
    df = pd.DataFrame(
        {"file": files, "label": "x", "fold": np.arange(len(files)) % 4, "group": [f[:-4] for f in files]}
    )
    df.loc[df.file == "copy of a.wav", ["label", "fold"]] = ["y", 3]
    df.loc[df.file.isin(["b.wav", "c.wav"]), "group"] = "the same"
    df.loc[df.file == "b.wav", "fold"] = 1
    df.loc[df.file == "c.wav", "fold"] = 2
    df.loc[df.file == "a.wav", "fold"] = 0
    return df


@pytest.fixture(scope="module")
def clips(table, folder):
    return inspect_clips(table, folder)


def test_each_finding_finds_the_clips_that_were_made_for_it(clips):
    found = {name: [file[:-4] for file in files] for name, files in find_problems(clips).files.items()}
    assert found.pop("peak at full scale") == ["clipped", "peak"]
    assert found.pop("same audio") == found.pop("same audio, other label") == ["a", "copy of a"]
    assert found.pop("same audio, other fold") == ["a", "copy of a"]
    assert found.pop("group in several folds") == ["b", "c"]
    assert found.pop("rare class") == ["copy of a"]
    assert found.pop("class absent from a fold") == ["copy of a"]
    assert found == {
        "level far from the others": ["quiet"],
        "silent": ["silent"], "mostly silent": ["half"], "clipped": ["clipped"], "constant offset": ["offset"],
        "empty upper band": ["upsampled"], "other length": ["long"], "other sample rate": ["rate"],
        "other number of channels": ["stereo"],
    }  # fmt: skip
    assert set(found) < set(FINDINGS)


def test_findings_do_not_depend_on_the_order_of_the_clips(clips):
    shuffled = clips.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(flag_clips(shuffled).sort_index(), flag_clips(clips))
    flags = flag_clips(shuffled.reset_index(drop=True))
    assert set(shuffled.file[flags["same audio"].to_numpy()]) == {"a.wav", "copy of a.wav"}


@pytest.mark.parametrize(
    "columns, kinds",
    [
        ({}, []),
        ({"label": "text"}, ["class"]),
        ({"label": ("u", "v")}, ["class"]),
        ({"label": ()}, []),
        ({"label": 0.5}, []),
        ({"label": (0.5, 2.0)}, []),
        ({"label": "text", "fold": "train", "group": "g"}, ["class", "fold", "group"]),
    ],
    ids=str,
)
def test_every_kind_of_labels_and_a_single_clip(columns, kinds, clips):
    for chosen in (["a.wav"], ["silent.wav"], ["a.wav", "silent.wav", "long.wav", "stereo.wav"]):
        some = clips[clips.file.isin(chosen)].drop(columns=["label", "fold", "group"]).reset_index(drop=True)
        some = some.assign(**{name: [value] * len(chosen) for name, value in columns.items()})
        assert list(groupings(some)) == kinds
        assert f"clips        {len(chosen)}, " in format_inspection(some)
        assert explain_clips(some).isna().all(axis=None)
        for by in groupings(some).values():
            assert summarize_clips(some, by).clips.tolist() == [len(chosen)] * by.nunique()


@pytest.mark.parametrize("drop", [[], ["label", "fold", "group"]], ids=str)
def test_the_page_has_a_figure_for_each_finding(drop, clips, tmp_path):
    some = clips.drop(columns=drop)
    write_inspection(some, tmp_path / "page.html", command="inspect <x>")
    page = (tmp_path / "page.html").read_text()
    for name, row in find_problems(some).iterrows():
        assert (
            f"<h2>{name}: {row.clips} clip{'s' * (row.clips > 1)}</h2>" in page
            and f"Clips with the finding {name} among all clips" in page
        )
    assert ("<h2>By class</h2>" in page) == (not drop) and "inspect &lt;x&gt;" in page and "copy of a.wav" in page


def test_unusable_files_are_listed_or_refused(folder, tmp_path):
    (tmp_path / ODD_NAME).write_bytes((folder / "a.wav").read_bytes())
    (tmp_path / "empty.wav").touch()
    df = read_clips(tmp_path, unlabelled_ok=True)
    clips = inspect_clips(df, tmp_path)
    assert clips.file.tolist() == [ODD_NAME] and list(clips.attrs["skipped"].values()) == ["is empty"]
    with pytest.raises(ValueError, match="1 of 2 files are unusable"):
        inspect_clips(df, tmp_path, on_error="stop")
    with pytest.raises(ValueError, match="1 of 1 files are unusable"):
        inspect_clips(pd.DataFrame({"file": ["missing.wav"]}), tmp_path)
    with pytest.raises(ValueError, match='must be "stop" or "skip", got \'ignore\''):
        inspect_clips(df, tmp_path, on_error="ignore")


@given(st.integers(0, 1000), st.integers(2, 5), st.integers(2, 8), st.floats(-100, 100), st.floats(0.01, 100))
@settings(deadline=None, max_examples=50)
def test_explained_variance_equals_the_formula_and_ignores_scale(seed, k, each, shift, scale):
    rng = np.random.default_rng(seed)
    by, x = np.repeat(np.arange(k), each), rng.normal(size=k * each) + np.repeat(rng.normal(size=k), each)
    mean = np.array([x[by == g].mean() for g in by])
    n = len(x)
    between, within = ((mean - x.mean()) ** 2).sum(), ((x - mean) ** 2).sum() / (n - k)
    expected = max(0.0, (between - (k - 1) * within) / ((x - x.mean()) ** 2).sum())
    assert explained_variance(pd.Series(x), pd.Series(by)) == pytest.approx(expected, abs=1e-9)
    assert explained_variance(pd.Series(shift + scale * x), pd.Series(by)) == pytest.approx(expected, abs=1e-6)


def test_suggestions_follow_from_the_levels(clips):
    base = pd.concat([clips[clips.file.isin([f"{c}.wav" for c in "abcdefgh"])]] * 2, ignore_index=True)
    base = base.assign(file=[f"{i}" for i in range(16)], samples=[f"{i}" for i in range(16)], fold=1)
    base = base.drop(columns="group").assign(label=np.repeat(list("pqrs"), 4))
    within = base.assign(level=np.tile([-50.0, -40, -20, -10], 4))
    between = base.assign(level=np.repeat([-50.0, -40, -20, -10], 4))
    both = base.assign(level=within.level / 2 + between.level)
    first = {name: suggest(table)[0] for name, table in {"in": within, "out": between, "both": both}.items()}
    assert "take each clip's own" in first["in"].text and first["in"].kind == "measured"
    assert "by only 0.0 dB" in first["out"].text and "also tell classes apart" in first["both"].text
    unlabelled = suggest(within.drop(columns="label"))[0]
    assert "of clips" in unlabelled.basis and "class" not in str(unlabelled)
    assert [s for s in suggest(clips) if s.kind == "reasoned" and "same samples" in s.basis]
