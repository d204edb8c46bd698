"""Hotelling's T² test, the Kolmogorov-Smirnov distance, and the rate of false alarms."""

import numpy as np
import pytest
import torch
from drift_support import random_clips, report
from scipy import stats as distributions

from fastaudio_norm.monitor import hotelling_test, ks_distances
from fastaudio_norm.stats import StatsRecorder


def test_hotelling_with_one_feature_is_a_t_test():
    for difference in (0.1, 1.0, -3.0):
        t = abs(difference) * np.sqrt(20 * 50 / 70 / 4.0)
        p = hotelling_test(np.array([difference]), np.array([[4.0]]), 20, 50)
        assert p == pytest.approx(2 * distributions.t.sf(t, 49), rel=1e-6)


def test_ks_distance_of_histograms_is_that_of_the_values():
    values = torch.randn(2, 4000) * torch.tensor([[1.0], [1.5]])
    recorders = [StatsRecorder((0,), quantiles=True) for _ in values]
    for recorder, x in zip(recorders, values):
        recorder.update(x)
    [distance] = ks_distances(*(recorder.histogram for recorder in recorders))
    assert distance == pytest.approx(distributions.ks_2samp(*values.numpy()).statistic, abs=0.005)


def test_false_alarms_are_as_rare_as_requested(reference):
    false = sum(report(reference, random_clips(20, 1000 + seed)).alarm for seed in range(100))
    assert false <= 12  # 5 % of 100; more than 12 happen once in 400 times
