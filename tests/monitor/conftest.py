import pytest
from drift_support import random_clips, recorded


@pytest.fixture(scope="session")
def reference():
    "Statistics of 240 random clips."
    return recorded(random_clips(240, 0))
