"""Compiled loops equal NumPy, in any number of threads and for any memory layout."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorders import assert_same, property_test, recorded

from fastaudio_norm.stats import count_cells, row_moments


def test_threads_and_memory_layout_do_not_change_the_statistics():
    x = torch.randn(64, 1, 50, 401) * 20 - 60  # large enough for several threads
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = recorded([x], quantiles=True)
        torch.set_num_threads(3)
        assert_same(recorded([x], quantiles=True), alone)
        assert_same(recorded([x.to(memory_format=torch.channels_last)], quantiles=True), alone)
        assert_same(recorded([x.transpose(2, 3).contiguous().transpose(2, 3)], quantiles=True), alone)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # squares of the largest numbers overflow
@property_test
@given(
    st.sampled_from([32, 64]).flatmap(
        lambda width: st.tuples(
            st.just(width), st.lists(st.floats(width=width, allow_nan=False, allow_infinity=False), min_size=1)
        )
    )
)
def test_extremes_of_any_floats_equal_numpy(width_and_values):
    width, values = width_and_values
    x = np.array(values, f"f{width // 8}")
    found = row_moments(torch.from_numpy(x).view(1, 1, -1), np.array([len(x)]), True)
    assert (found.low.item(), found.high.item()) == (x.min(), x.max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("group", [[0, 1, 2], [2, 0, 1], [1, 1, 0]])
def test_counts_equal_numpy(group, dtype):
    "Counts are added to earlier ones. Values that are not finite, and frames of padding, do not count."
    x = (np.random.default_rng(0).standard_normal((10, 3, 60)) * 3).astype(dtype)
    x[2, :, 5], x[3, 1, 7:9], x[4, :, 9] = np.nan, np.inf, -1e-30
    lengths, scale, start = np.arange(50, 60), np.array([0.5, 1, 2]), np.array([-20, -30, -50])
    counts = np.ones((3, 100), np.int64)
    count_cells(torch.from_numpy(x), lengths, np.array(group), scale, start, counts)
    expected = np.ones((3, 100), np.int64)
    for row, g in enumerate(group):
        values = np.concatenate([clip[row, :n] for clip, n in zip(x, lengths)]).astype(np.float64)
        cells = np.floor(values[np.isfinite(values)] * scale[g]).astype(int) - start[g]
        expected[g] += np.bincount(cells, minlength=100)
    assert np.array_equal(counts, expected)
