"""Arrange batches as rows, and merge their moments."""

import numpy as np
import pytest
import torch

from fastaudio_norm.stats import Moments, StatsRecorder


def test_lengths_need_frames_among_the_reduced_dimensions():
    with pytest.raises(ValueError, match="first and the last dimension"):
        StatsRecorder((0, 1, 2)).update(torch.randn(2, 1, 6, 9), [3, 4])


def test_groups_without_values_do_not_change_a_merge_or_a_blend():
    x = np.random.default_rng(0).normal(5, 2, (3, 100))
    some = Moments(np.full(3, 100), x.mean(1), 100 * x.var(1), x.min(1), x.max(1))
    empty = Moments(np.zeros(3, int), np.zeros(3), np.zeros(3), np.full(3, np.inf), np.full(3, -np.inf))
    for found in (some.merged(empty), empty.merged(some), some.blended(empty, np.zeros(3))):
        assert all(np.array_equal(ours, expected) for ours, expected in zip(found, some))
    assert all(np.isfinite(part).all() for part in empty.merged(empty)[:3])
