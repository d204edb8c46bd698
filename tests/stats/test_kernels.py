"""Compiled loops give the same result in any number of threads and for any memory layout."""

import torch
from recorders import assert_same, recorded


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
