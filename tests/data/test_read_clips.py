"""`read_clips`: one table from class folders, any CSV file, a data frame, or ESC-50's layout."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from support import PYARROW

from fastaudio_norm.audio import cached_clips, make_spec
from fastaudio_norm.data import find_target, get_dls, read_clips, read_esc50
from fastaudio_norm.measure import measure
from fastaudio_norm.transforms import SpecNormalize


def test_where_takes_only_rows_with_these_values(tmp_path):
    table = tmp_path / "clips.csv"
    table.write_text("file,label,fold,site,room\na.wav,x,1,007,1\nb.wav,y,2,007,\nc.wav,x,3,008,2\n")
    touch(tmp_path, "a.wav", "b.wav", "c.wav")
    df = read_clips(tmp_path, table, where={"site": "007"})
    assert df.file.tolist() == ["a.wav", "b.wav"] and df.fold.tolist() == [1, 2] and df.index.tolist() == [0, 1]
    assert read_clips(tmp_path, table, where={"site": "007", "fold": "2"}).file.tolist() == ["b.wav"]
    data = pd.read_csv(table)  # a room is missing, so that pandas makes the others floats
    assert read_clips(tmp_path, data, where={"room": 2, "label": "x"}).file.tolist() == ["c.wav"]
    with pytest.raises(ValueError, match="lacks the column place of `where`; its columns are .*'site'"):
        read_clips(tmp_path, table, where={"place": "007"})
    with pytest.raises(ValueError, match="no row left with site=7: expected one of 007, 008$"):
        read_clips(tmp_path, table, where={"site": "7"})
    with pytest.raises(ValueError, match="no row left with label=y: expected one of x$"):
        read_clips(tmp_path, table, where={"site": "008", "label": "y"})
    many = data.assign(site=range(3)).sample(12, replace=True, random_state=0).assign(site=range(12))
    with pytest.raises(ValueError, match="expected one of 0, 1, 10, 11, 2, 3, 4, 5, 6, 7 and 2 more"):
        read_clips(tmp_path, many, where={"site": "12"})


def test_where_makes_esc10_of_esc50s_layout(sounds):
    df = read_clips(sounds, where={"esc10": "True"})
    whole = read_clips(sounds)
    assert 0 < len(df) < len(whole) and set(df.file) == set(whole.file[whole.esc10])


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_esc50s_layout_is_found_by_itself(made_up):
    df, esc50 = read_clips(made_up), read_esc50(made_up)
    assert df.file.tolist() == ("audio/" + esc50.filename).tolist() and df.label.tolist() == esc50.category.tolist()
    assert df.fold.tolist() == esc50.fold.tolist() and {"src_file", "target"} <= set(df)
    assert "group" not in df and read_clips(made_up, group="src_file").group.dtype != esc50.src_file.dtype
    assert read_clips(made_up, label="target").label.tolist() == esc50.target.astype(str).tolist()


def test_a_folder_for_each_class(tmp_path):
    touch(tmp_path, "dog/b.wav", "dog/deep/a.OGG", "rain/b.wav", "rain/notes.txt", ".hidden/c.wav")
    df = read_clips(tmp_path)
    assert df.values.tolist() == [["dog/b.wav", "dog"], ["dog/deep/a.OGG", "dog"], ["rain/b.wav", "rain"]]
    touch(tmp_path, "top.wav")
    with pytest.raises(FileNotFoundError, match="1 files are in no sub-folder, such as top.wav"):
        read_clips(tmp_path)


def test_folders_of_a_split_above_those_of_the_classes(tmp_path):
    touch(tmp_path, "Train/dog/a.wav", "Train/cat/a.wav", "val/dog/b.wav", "test/cat/b.wav")
    df = read_clips(tmp_path)
    assert df[["label", "fold"]].values.tolist() == [["cat", "train"], ["dog", "train"], ["dog", "valid"]]
    assert df.attrs["notes"] == ["Left out 1 test clips"]


def test_a_class_may_have_the_name_of_a_split(tmp_path):
    touch(tmp_path, "train/a.wav", "bus/b.wav")
    assert set(read_clips(tmp_path).label) == {"train", "bus"} and "fold" not in read_clips(tmp_path)


@pytest.mark.parametrize(
    "columns, options, message",
    [
        ({"path": ["a.wav", "b.wav"], "label": ["x", "y"]}, {}, "name the column with `file`"),
        ({"file": ["a.wav", "b.wav"], "bird": ["x", "y"]}, {}, "name the column with `label`"),
        ({"file": ["a.wav", "b.wav"], "label": ["x", None]}, {}, "1 rows without label"),
        ({"file": ["a.wav", None], "label": ["x", "y"]}, {}, "1 rows without file"),
        ({"file": ["a.wav", "a.wav"], "label": ["x", "y"]}, {}, "lists a clip twice: a.wav"),
        ({"file": ["a.wav", "c.wav"], "label": ["x", "y"]}, {}, "1 of 2 clips .*: c.wav"),
        ({"file": ["a.wav", "b.wav"], "label": ["x", "y"]}, {"fold": "part"}, "lacks the column part"),
        ({"file": ["a.wav", "b.wav"], "label": ["x", "y"], "fold": [1, 1.5]}, {}, "not a whole number"),
        ({"file": ["a.wav", "b.wav"], "label": ["x", "y"], "fold": [1, None]}, {}, "1 rows without a fold"),
        ({"file": ["a.wav", "b.wav"], "label": ["x", "y"], "fold": ["train", "test"]}, {}, "no valid rows"),
        ({"file": ["a.wav", "b.wav"], "label": ["x", "y"], "who": ["A", None]}, {"group": "who"}, "rows without who"),
        ({"file": ["a.wav", "b.wav"], "label": ["x", "y\x07"]}, {}, "unprintable"),
        ({"file": ["a.wav", "b.wav"], "label": ["x", "y"]}, {"target": "numbers"}, "must hold numbers"),
        ({"file": [], "label": []}, {}, "is empty"),
    ],
)
def test_mistakes_in_a_table_are_named(columns, options, message, tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_clips(tmp_path, pd.DataFrame(columns), **options)


def test_labels_may_be_absent_on_request(made_up):
    files = sorted(file.name for file in (made_up / "audio").iterdir())
    assert read_clips(made_up / "audio", unlabelled_ok=True).to_dict("list") == {"file": files}
    table = pd.DataFrame({"filename": files, "fold": 1})
    assert list(read_clips(made_up / "audio", table, unlabelled_ok=True)) == ["file", "fold"]
    assert "label" in read_clips(made_up, unlabelled_ok=True)  # labels are used if there are any
    for given, message in ((None, "in no sub-folder"), (table, "has no column label")):
        with pytest.raises((FileNotFoundError, ValueError), match=message):
            read_clips(made_up / "audio", given)


def test_a_table_that_was_read_can_be_read_again(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    for label in (["x", "y"], [("x", "y"), ()], [1.5, 2.0], [(1.5, 2.0), (2.0, 3.0)]):
        df = read_clips(tmp_path, pd.DataFrame({"file": ["a.wav", "b.wav"], "label": pd.Series(label), "fold": [1, 2]}))
        again = read_clips(tmp_path, df)
        assert df.label.tolist() == again.label.tolist() == label and df.fold.tolist() == again.fold.tolist()


LABELS = {
    "label": lambda df: df.label,
    "labels": lambda df: df.label.map(lambda label: tuple(sorted({label, "sound"}))),
    "numbers": lambda df: df.index / 7,
}


@pytest.mark.parametrize("source", ["esc50", "class folders", "table"])
def test_statistics_come_from_the_training_split_only(source, made_up, tmp_path):
    "Noise in place of every validation clip does not change the normalization, whatever the target is."
    esc50 = read_clips(made_up)
    esc50 = esc50[esc50.label.isin(esc50.label.unique()[:3])]
    place, table = dict(zip(esc50.file, esc50.file)), None
    if source == "esc50":
        shutil.copytree(made_up / "meta", tmp_path / "meta")
        esc50.assign(filename=esc50.file.str[6:], category=esc50.label).to_csv(tmp_path / "meta" / "esc50.csv")
    else:
        part = esc50.fold.map(lambda fold: "valid" if fold == 2 else "train")
        place = {f: f"{p}/{label}/{f[6:]}" for f, p, label in zip(esc50.file, part, esc50.label)}
        table = pd.DataFrame({"file": list(place.values()), "label": esc50.label.tolist(), "fold": part.tolist()})
    valid = 2 if source == "esc50" else "valid"

    def statistics(changed):
        for file, fold in zip(esc50.file, esc50.fold):
            x, rate = soundfile.read(made_up / file)
            x = np.random.default_rng(0).uniform(-1, 1, len(x)) if fold == changed else x
            (tmp_path / place[file]).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / place[file], x, rate)
        df = read_clips(tmp_path, table if source == "table" else None)
        clips, found = cached_clips(df, tmp_path), []
        for kind, labels in LABELS.items():
            labelled, norm = df.assign(label=labels(df)), SpecNormalize(axes=(0, 1, 3))
            assert find_target(labelled).kind == kind
            get_dls(labelled, tmp_path, valid, bs=16, batch_tfms=[make_spec(), norm], clips=clips, num_workers=0)
            found += [norm.mean, norm.std]
        return found + ([measure(tmp_path, exclude=[valid], table=df).mean] if source == "table" else [])

    plain, other_valid = statistics(None), statistics(2)
    assert all(torch.equal(a, b) for a, b in zip(plain, other_valid, strict=True))
    if source == "table":
        assert not any(torch.equal(a, b) for a, b in zip(plain, statistics(3), strict=True))


def test_names_that_are_not_utf8(tmp_path):
    for label in ("dog", "rain"):
        (tmp_path / label).mkdir()
        (tmp_path / label / os.fsdecode(b"\xfc.wav")).touch()
    if PYARROW:
        with pytest.raises(ValueError, match="must be valid UTF-8, got 'dog/.udcfc.wav': rename"):
            read_clips(tmp_path)
    else:
        assert read_clips(tmp_path).label.tolist() == ["dog", "rain"]
