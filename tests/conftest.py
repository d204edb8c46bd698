import ctypes
import gc
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # pytest-xdist runs one process on each core
os.environ["MPLBACKEND"] = "agg"
os.environ.pop(
    "PYTHONDONTWRITEBYTECODE", None
)  # otherwise every process that a test starts compiles all libraries again
sys.dont_write_bytecode = False

import pandas as pd  # noqa: E402
import pytest  # noqa: E402
import support  # noqa: E402, F401  its fork server also starts the workers of loaders from Python 3.14 on
from fastai.torch_core import set_seed  # noqa: E402

import fastaudio_norm  # noqa: E402, F401  makes fastaudio importable
from fastaudio_norm.data import make_clips, read_esc50  # noqa: E402

# Folder of larger sets of recorded clips: esc10/ and esc50/. Tests that need a missing one are skipped.
RECORDED = Path(os.environ.get("FASTAUDIO_NORM_RECORDED") or Path(__file__).parents[2] / "shared" / "data")


def pytest_collection_finish():
    "Exclude the libraries from garbage collection: each search through their objects takes a quarter of a second."
    gc.freeze()


def pytest_sessionfinish():
    gc.unfreeze()  # otherwise nanobind, which onnx uses, reports objects that were not freed


@pytest.fixture(scope="session")
def sounds():
    "Folder of 40 recorded clips: ten classes, five folds."
    return Path(__file__).parents[1] / "recorded"


@pytest.fixture(scope="session")
def esc10():
    "Folder of ESC-10, 400 recorded clips."
    folder = RECORDED / "esc10"
    if not (folder / "meta" / "esc50.csv").is_file():
        pytest.skip(f"ESC-10 is not at {folder}: set FASTAUDIO_NORM_RECORDED to the folder that contains esc10/")
    return folder


@pytest.fixture(scope="session")
def made_up(tmp_path_factory):
    "Folder of 50 synthetic clips of half a second: ten classes, five folds."
    return make_clips(tmp_path_factory.mktemp("made_up"), per_fold=1, seconds=0.5)


@pytest.fixture
def clips(made_up, tmp_path):
    "Folder with copies of 30 synthetic clips."
    folder = tmp_path / "clips"
    folder.mkdir()
    for file in sorted((made_up / "audio").iterdir())[:30]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def df(made_up):
    return read_esc50(made_up)


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory):
    "Cache clips in a temporary folder of this test run."
    os.environ["FASTAUDIO_NORM_CACHE"] = str(tmp_path_factory.mktemp("caches"))


@pytest.fixture
def results(tmp_path):
    "Result of `compare` for two normalizations and two folds, with accuracies of 50, 70, 70 and 80 % of ten clips."
    rows = []
    for norm, accuracies in {"none": (0.5, 0.7), "wave": (0.7, 0.8)}.items():
        for fold, accuracy in enumerate(accuracies, 1):
            right, truth = round(10 * accuracy), [0, 1] * 5
            predicted = [t if i < right else 1 - t for i, t in enumerate(truth)]
            curve = [[2.0, 2.1, 0.1], [1.0, 1.1, accuracy]]
            rows.append((norm, fold, 0, 0, 2, accuracy, 1.1, curve, truth, predicted))
    columns = ["norm", "fold", "run", "seed", "epochs", "score", "valid_loss", "curve", "truth", "predicted"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.attrs = {
        "file": str(tmp_path / "results-0.jsonl"), "clips": 20, "rate": 16000, "has_new_folds": False,
        "classes": ["cat", "dog"], "valid_per_train": 0.25, "skipped": {}, "target": "label",
        "metric": {"name": "accuracy", "higher_is_better": True, "percent": True}, "baseline": "none",
    }  # fmt: skip
    return frame


@pytest.fixture(autouse=True)
def seeded():
    set_seed(0)  # random, numpy and torch


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
