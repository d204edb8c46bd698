"""Helpers of the tests of statistics: record batches, and compare recorders."""

import torch
from hypothesis import settings

from fastaudio_norm.stats import StatsRecorder

RED_DIMS = [(0, 2, 3), (0, 1, 3), (0, 3), (0, 1, 2, 3), (3,), (2, 3), (0, 1, 2), (1, 0, 3)]

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int16, torch.int64, torch.uint8]

property_test = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def recorded(parts, red_dims=(0, 1, 3), lengths=None, **options):
    recorder = StatsRecorder(red_dims, **options)
    for i, part in enumerate(parts):
        recorder.update(part, None if lengths is None else lengths[i])
    return recorder


def assert_same(a, b, rel=1e-12):
    "Equal counts; equal mean within `rel`, in units of std; equal std, extremes and quantiles."
    assert torch.equal(a.count, b.count)
    std = b.std.nan_to_num().clamp(min=1e-300)
    assert ((a.mean - b.mean).abs() <= rel * (std + b.mean.abs())).all()
    assert torch.allclose(a.std, b.std, rtol=1e-9, atol=1e-12 * float(b.mean.abs().max()), equal_nan=True)
    if a.quantiles:
        assert torch.equal(a.min, b.min) and torch.equal(a.max, b.max)
        for q in (0, 0.1, 0.5, 0.9, 1):
            assert torch.equal(a.quantile(q), b.quantile(q))
