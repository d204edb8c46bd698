"""CSV tables of every dialect, and the files that they name."""

import itertools

import pandas as pd
import pytest

from fastaudio_norm.data.sources import read_clips
from fastaudio_norm.data.tables import match_files, parse_csv

ROWS = [("day 1/a.wav", "Käse", "1"), ("day 1/b.wav", "dog, big", "007"), ("c.wav", "NA", "2")]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "day 1").mkdir()
    for file, *_ in ROWS:
        (tmp_path / file).touch()
    return tmp_path


@pytest.mark.parametrize("separator, end", [*itertools.product(",;\t|", ["\n", "\r\n"])])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_reads_the_same_in_every_dialect(folder, separator, end, encoding):
    lines = [separator.join(["sound", "what", "who"])]
    lines += [separator.join(f'"{cell}"' for cell in row) for row in ROWS]
    (folder / "t.csv").write_bytes(end.join(lines).encode(encoding))
    df = read_clips(folder, folder / "t.csv", file="sound", label="what", group="who")
    assert df[["file", "label", "group"]].values.tolist() == [list(row) for row in ROWS]


def test_other_columns_are_kept_with_their_types(folder):
    (folder / "t.csv").write_text("file,label,take,note\nc.wav,1,3,\nday 1/a.wav,2,4,loud\n")
    df = read_clips(folder, folder / "t.csv")
    assert df["take"].tolist() == [3, 4] and df.note.tolist()[1] == "loud" and df.label.tolist() == ["1", "2"]


@pytest.mark.parametrize("content", [b"file,label\nc.wav,K\xe4se\n", b"file,label\nc.wav,a\0b\n", b""])
def test_what_is_not_a_table_is_named(folder, content):
    (folder / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match="t.csv is not a valid table"):
        parse_csv(folder / "t.csv")


def test_files_may_be_absolute_above_the_folder_or_of_another_format(folder):
    (folder / "day 1" / "b.wav").rename(folder / "day 1" / "b.flac")
    names = [str(folder / "c.wav"), "../c.wav", "b.mp3", r"..\day 1\a.wav", "none.wav"]
    found = match_files(pd.Series(names), folder / "day 1")
    assert found.tolist()[:4] == [names[0], "../c.wav", "b.flac", "../day 1/a.wav"] and found.isna()[4]
