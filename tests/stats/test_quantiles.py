"""Quantiles stay within their bound for data that is hard for histograms."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorders import property_test, recorded

HARD = {
    "sorted": torch.linspace(-100, 50, 12000),
    "sorted downwards": torch.linspace(50, -100, 12000),
    "constant": torch.full((12000,), -37.123),
    "two values": torch.tensor([0.0, 1e6]).repeat(6000),
    "mostly one value": torch.cat([torch.full((11990,), 5.0), torch.linspace(-1e4, 1e4, 10)]),
    "tiny": torch.randn(12000) * 1e-30,
    "an outlier": torch.cat([torch.randn(11999), torch.tensor([1e30])]),
    "zeros, then tiny, then large": torch.cat([torch.zeros(4000), torch.randn(4000) * 1e-20, torch.randn(4000) * 1e9]),
}


def assert_within_bound(recorder, values):
    "`values`: all recorded values, [bins, values]."
    exact = np.quantile(values.double().numpy(), (0, 0.01, 0.25, 0.5, 0.75, 0.99, 1), axis=1, method="inverted_cdf")
    for q, expected in zip((0, 0.01, 0.25, 0.5, 0.75, 0.99, 1), torch.from_numpy(exact)):
        found, bound = recorder.quantile(q).flatten(), recorder.quantile_error.flatten()
        assert ((found - expected).abs() <= bound).all(), q
    reach = (recorder.max - recorder.min).flatten()
    finest = values.double().abs().amax(1) * 2.0**-23
    assert (bound <= torch.maximum(reach / 512, finest)).all()


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("batches", [1, 12])
def test_quantiles_stay_within_their_bound(name, batches):
    parts = HARD[name].view(-1, 1, 1, 100).chunk(batches)
    assert_within_bound(recorded(parts, quantiles=True), HARD[name][None])


@property_test
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
    )
)
def test_quantiles_of_random_floats_stay_within_their_bound(parts):
    batches = [torch.tensor(part).view(-1, 1, 1, 1) for part in parts]
    recorder = recorded(batches, quantiles=True)
    values = torch.cat(batches).flatten()
    for q in (0, 0.25, 0.5, 1):
        expected = np.quantile(values.double().numpy(), q, method="inverted_cdf")
        assert abs(recorder.quantile(q).item() - expected) <= recorder.quantile_error.item()
    assert torch.equal(recorder.median, recorded(batches[::-1], quantiles=True).median)


def test_a_quantile_must_be_between_0_and_1():
    with pytest.raises(ValueError, match="must be between 0 and 1, got 50"):
        recorded([torch.randn(2, 1, 6, 9)], quantiles=True).quantile(50)
