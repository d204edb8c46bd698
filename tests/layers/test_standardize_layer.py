"""`SpecNorm` and the loops behind it: compiled loops and tensor operations agree."""

import numpy as np
import pytest
import torch

from fastaudio_norm.layers import ESTIMATES, SpecNorm, standardize
from fastaudio_norm.layers.standardize import clip_statistics
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.transforms import SpecNormalize

B, C, F, T = 9, 2, 7, 31


def test_statistics_of_a_training_set_are_buffers():
    "Buffers change dtype with the module and are part of the state dict."
    layer = SpecNormalize(2.0, 4.0).as_module().double()
    assert {name: t.dtype for name, t in layer.state_dict().items()} == dict.fromkeys(
        ["offset", "scale"], torch.float64
    )
    other = SpecNorm(**layer.options)
    other.load_state_dict(layer.state_dict())
    assert np.isclose(other(torch.full((1, 1, 1, 1), 10.0)).item(), 2.0)
    assert "shape=[1, 1, 1, 1]" in repr(layer)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, F, 1), (1, C, F, 1), (B, C, 1, 1), (B, C, F, 1), (1, 1, 1, T)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int16])
def test_standardization_equals_tensor_operations_to_the_last_bit(shape, dtype):
    x = (torch.randn(B, C, F, T) * 20 - 60).to(dtype)
    x.view(-1)[::50] = -0.0
    wide = torch.promote_types(dtype, torch.float32)
    offset, scale = torch.randn(shape, dtype=wide) - 60, torch.rand(shape, dtype=wide) + 0.01
    expected = x.to(wide).sub(offset).div(scale).to(dtype if dtype.is_floating_point else torch.float32)
    in_other_order = x.transpose(2, 3).contiguous().transpose(2, 3)
    for values in (x, in_other_order, x.to(memory_format=torch.channels_last)):
        found = standardize(values, offset, scale)
        assert found.dtype == expected.dtype and torch.equal(found, expected)
    assert torch.equal(standardize(x[:0], offset[:1], scale[:1]), expected[:0])


@pytest.mark.parametrize("axes", [(2, 3), (3,), (1, 3), (2,)])
@pytest.mark.parametrize(("mean", "std"), [(-60, 20), (100, 0.01)])
def test_median_and_quartiles_are_exact(axes, mean, std):
    x = torch.randn(B, C, F, T) * std + mean
    low, median, high = np.quantile(x.double().numpy(), (0.25, 0.5, 0.75), axes, keepdims=True)
    level, spread = (found.double().numpy() for found in clip_statistics(x, axes, "robust"))
    rounding = 2.0**-24 * x.abs().max().item()
    assert np.abs(level - median).max() <= rounding
    assert np.abs(spread - (high - low)).max() <= 4 * rounding


@pytest.mark.parametrize("values", [11_999, 12_000, 12_001, 12_002, 12_003, 40_000])
@pytest.mark.parametrize("kind", ["noise", "few values", "constant", "ascending", "not finite"])
def test_quartiles_of_long_clips_equal_those_of_sorted_values(kind, values):
    x = torch.randn(3, 1, 1, values)
    x = {"few values": x.round(), "constant": x * 0 + 3, "ascending": x.sort().values}.get(kind, x)
    if kind == "not finite":
        x[0, ..., ::9], x[1, ..., :5], x[2, ..., 0] = torch.inf, torch.nan, -torch.inf
    expected = clip_statistics(x.clone().requires_grad_(), (2, 3), "robust")  # by `torch.sort`, for gradients
    torch.testing.assert_close(clip_statistics(x, (2, 3), "robust"), expected, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
@pytest.mark.parametrize("method", ESTIMATES)
def test_a_traced_layer_computes_the_statistics_of_each_input(method):
    layer, (x, y) = SpecNorm((3,), method), torch.randn(2, 3, C, F, T)
    assert torch.allclose(torch.jit.trace(layer, x)(y * 9), layer(y * 9), atol=1e-5)


def test_a_layer_needs_statistics_of_a_training_set_or_none():
    with pytest.raises(ValueError, match="`axes` with 0, the batch, need statistics"):
        SpecNorm(axes=(0, 1, 3))
    for layer in (SpecNorm(axes=(3,)), SpecNorm(axes=(0, 1, 3), shape=(1, 1, 4, 1))):
        with pytest.raises(ValueError, match=r"Expected spectrograms .* got \[1, 4, 9\]"):
            layer(torch.randn(1, 4, 9))


def test_statistics_are_replaced_whatever_the_type_of_their_shape():
    recorder = StatsRecorder(red_dims=(0, 1, 3))
    recorder.update(torch.randn(2, 1, 4, 9))
    layer = SpecNorm(axes=(0, 1, 3), shape=torch.Size([1, 1, 4, 1]))
    layer.replace_statistics(recorder)
    torch.testing.assert_close(layer.offset, recorder.mean.float())
