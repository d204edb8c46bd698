"""Fixtures of several tests of `audio`: a folder of usable and unusable files, and reading it without root's rights."""

import ctypes
import os
from contextlib import contextmanager

import pandas as pd
import pytest
from bad_audio import make_bad_audio


@pytest.fixture(scope="session")
def ordinary_user():
    """Context manager that takes root's right to read all files.

    Threads and processes that are started within the context lack the right too.
    """

    @contextmanager
    def without_root():
        if os.geteuid():
            yield
            return
        libc, header, capabilities = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        libc.capget(header, capabilities)
        before = capabilities[0]
        capabilities[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
        assert libc.capset(header, capabilities) == 0
        try:
            yield
        finally:
            capabilities[0] = before
            libc.capset(header, capabilities)

    return without_root


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
