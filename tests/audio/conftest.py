"""Fixtures of several tests of `audio`: a folder of usable and unusable files, and reading it without root's rights."""

import pandas as pd
import pytest
from bad_audio import make_bad_audio


def can_be_listed(name):
    "A table in UTF-8 cannot contain all file names."
    return name.isprintable() or "\n" in name


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    "Folder in ESC-50's layout with usable and unusable files; expected reasons of all files and of the listed ones."
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "audio").mkdir()
    (folder / "meta").mkdir()
    expected = make_bad_audio(folder / "audio")
    listed = {name: reason for name, reason in expected.items() if can_be_listed(name)}
    rows = [(name, 1 + i % 2, "xy"[i // 2 % 2]) for i, name in enumerate(sorted(listed))]
    table = pd.DataFrame(rows, columns=["filename", "fold", "category"])
    table.to_csv(folder / "meta" / "esc50.csv", index=False)
    return folder, expected, listed
