import pytest
from drift_support import louder_statistics, random_clips, recorded

from fastaudio_norm.measure import measure


@pytest.fixture(scope="session")
def measured(made_up):
    "Statistics of the 50 synthetic clips."
    return measure(made_up)


@pytest.fixture(scope="session")
def louder(measured):
    "Statistics of random clips that are 20 dB louder than the synthetic clips."
    return louder_statistics(measured)


@pytest.fixture(scope="session")
def reference():
    "Statistics of 240 random clips."
    return recorded(random_clips(240, 0))
