"""Resampling gives the numbers of `scipy.signal.resample_poly`."""

import numpy as np
import pytest
import scipy.signal
import torch

from fastaudio_norm.serve.resample import ResampleLayer


@pytest.mark.parametrize("old, new", [(44100, 16000), (8000, 16000), (48000, 16000), (22050, 16000), (3, 2), (7, 1000)])
def test_resampling_equals_scipy(old, new):
    x = np.random.default_rng(0).standard_normal((2, 3, 3001)).astype(np.float32)
    for samples in (1, 2, 50, 3001):
        expected = scipy.signal.resample_poly(x[..., :samples], new, old, axis=-1)
        found = ResampleLayer(old, new)(torch.from_numpy(x[..., :samples])).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
