"""`fastaudio-norm inspect`: its files, what it prints, and mistakes in its arguments."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from support import ODD_NAME

from fastaudio_norm.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "Sixty short clips in two folders with odd names, and an empty file."
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for i in range(60):
        file = folder / ("<b>dog & cat" if i % 2 else "$x$ 鳥") / (f"{i} <i>.wav" if i else ODD_NAME)
        file.parent.mkdir(exist_ok=True)
        soundfile.write(os.fsencode(file), np.r_[rng.normal(0, 0.1, 2000), np.zeros(3000)], 8000, format="WAV")
    (file.parent / "empty<u>.wav").touch()
    return folder


def inspect(*arguments):
    "Exit status."
    try:
        main(["inspect", *map(str, arguments)])
    except SystemExit as stopped:
        return stopped.code
    return 0


def test_page_and_table_of_a_folder_with_odd_names(folder, tmp_path, capsys):
    assert inspect(folder, "--out", tmp_path) == 3
    printed = capsys.readouterr()
    assert "60 mostly silent" in printed.out and "classes      2, with 30 clips each" in printed.out
    assert "empty<u>.wav: is empty" in printed.err and "Inspecting clips" not in printed.err
    page = (tmp_path / "inspection.html").read_text()
    assert not any(markup in page for markup in ("<b>dog", "<i>", "<u>", "http://", "https://"))
    assert "&lt;b&gt;dog &amp; cat" in page and "and 10 more" in page and "is empty" in page
    assert page.count("<img") >= 2 and len(page) < 2**20
    table = pd.read_csv(tmp_path / "inspection.csv", encoding_errors="surrogateescape")
    assert len(table) == 60 and table.findings.str.contains("mostly silent").all()
    assert all((folder / file).is_file() for file in table.file)


def test_a_plain_folder_and_a_table_without_labels(made_up, tmp_path, capsys):
    assert inspect(made_up / "audio", "--out", tmp_path) == 0
    assert "classes" not in capsys.readouterr().out
    names = sorted(file.name for file in (made_up / "audio").iterdir())[:3]
    pd.DataFrame({"recording": names, "site": list("aab")}).to_csv(tmp_path / "table.csv")
    where = [made_up / "audio", "--table", tmp_path / "table.csv", "--file", "recording", "--out", tmp_path]
    assert inspect(*where, "--group", "site") == 0
    printed = capsys.readouterr().out
    assert "clips        3, " in printed and "groups       2, with 1 to 2 clips each" in printed


def test_where_inspects_a_part_of_the_table(sounds, tmp_path):
    assert inspect(sounds, "--where", "esc10=True", "--where", "fold=1", "--out", tmp_path) == 0
    clips, table = pd.read_csv(tmp_path / "inspection.csv"), pd.read_csv(sounds / "meta" / "esc50.csv")
    assert len(clips) == (table.esc10 & (table.fold == 1)).sum() > 0


def test_esc50s_layout_with_a_missing_clip(made_up, tmp_path, capsys):
    shutil.copytree(made_up, tmp_path / "data")
    next((tmp_path / "data" / "audio").iterdir()).unlink()
    assert inspect(tmp_path / "data", "--out", tmp_path / "out") == 3
    printed = capsys.readouterr()
    assert "clips        49, " in printed.out and "No such file" in printed.err
    assert inspect(tmp_path / "data", "--on-error", "stop", "--out", tmp_path / "out2") == 2
    assert "1 of 50 files are unusable" in capsys.readouterr().err and not (tmp_path / "out2").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [(["none"], "No such folder"), (["."], "No clips"), ([".", "--table", "none.csv"], "No such table")],
)
def test_mistakes_end_with_one_line_and_status_2(arguments, message, tmp_path, capsys):
    assert inspect(tmp_path / arguments[0], *arguments[1:], "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
