import pytest
from drift_support import random_clips, recorded

from fastaudio_norm.measure import measure


@pytest.fixture(scope="session")
def measured(made_up):
    "Statistics of the 50 synthetic clips."
    return measure(made_up)


@pytest.fixture(scope="session")
def reference():
    "Statistics of 240 random clips."
    return recorded(random_clips(240, 0))
