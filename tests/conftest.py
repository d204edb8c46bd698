from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

from fastai.torch_core import set_seed  # noqa: E402

import fastaudio_norm  # noqa: E402, F401  fastaudio can be imported from here on
from fastaudio_norm.data import make_clips, read_esc50  # noqa: E402

ESC10 = Path(__file__).parents[2] / "shared" / "data" / "esc10"


@pytest.fixture(scope="session")
def esc10():
    "Folder of ESC-10, 400 recorded clips."
    if not (ESC10 / "meta" / "esc50.csv").is_file():
        pytest.skip(f"ESC-10 is not at {ESC10}")
    return ESC10


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    "Folder of 50 made-up clips of half a second: ten classes, five folds."
    return make_clips(tmp_path_factory.mktemp("made_up"), per_fold=1, seconds=0.5)


@pytest.fixture
def df(made_up):
    return read_esc50(made_up)


@pytest.fixture(autouse=True)
def seeded():
    set_seed(0)  # random, numpy and torch
