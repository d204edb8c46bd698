"""Recorders against all the data at once, in float64."""

import pickle

import pytest
import torch

from fastaudio_norm.stats import StatsRecorder

RED_DIMS = [(0, 2, 3), (0, 1, 3), (0, 1, 2, 3), (0, 3)]


def recorded(parts, red_dims):
    recorder = StatsRecorder(red_dims)
    for part in parts:
        recorder.update(part)
    return recorder


@pytest.mark.parametrize("red_dims", RED_DIMS)
@pytest.mark.parametrize("sizes", [[37], [1] * 37, [30, 1, 6], [36, 1]])
@pytest.mark.parametrize("mean, std", [(0, 1), (1e4, 1), (-80, 20)])
def test_any_split_gives_torch_std(red_dims, sizes, mean, std):
    x = torch.randn(37, 2, 5, 11) * std + mean
    recorder = recorded(x.split(sizes), red_dims)
    expected_std, expected_mean = torch.std_mean(x.double(), red_dims, keepdim=True)
    assert recorder.mean.shape == expected_mean.shape and recorder.mean.dtype == torch.float64
    assert ((recorder.mean - expected_mean).abs() / expected_std).max() < 1e-10
    assert (recorder.std / expected_std - 1).abs().max() < 1e-10
    assert recorder.nobservations == x.numel() // expected_mean.numel()


def test_order_and_width_do_not_matter():
    parts = [
        torch.randn(n, 1, 4, width) + level for n, width, level in [(3, 10, 0), (1, 2, 50), (7, 30, -50), (2, 1, 5)]
    ]
    everything = torch.cat([p.transpose(0, 2).flatten(1) for p in parts], 1).double()
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        recorder = recorded([parts[i] for i in order], (0, 1, 3))
        assert torch.allclose(recorder.mean.flatten(), everything.mean(1), rtol=1e-12)
        assert torch.allclose(recorder.std.flatten(), everything.std(1), rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int16])
def test_types(dtype):
    x = (torch.randn(8, 1, 3, 20) * 100).to(dtype)
    recorder = recorded(x.split(3), (0, 2, 3))
    assert torch.allclose(recorder.std, x.double().std((0, 2, 3), keepdim=True), rtol=1e-12)


def test_merging_in_any_grouping():
    parts = torch.randn(20, 1, 6, 9).split([5, 1, 10, 4])
    whole = recorded(parts, (0, 1, 3))
    a, b, c, d = [recorded([part], (0, 1, 3)) for part in parts]
    a.merge(b)
    d.merge(c)
    a.merge(pickle.loads(pickle.dumps(d)))
    a.merge(StatsRecorder((0, 1, 3)))
    assert torch.allclose(a.mean, whole.mean, rtol=1e-12) and torch.allclose(a.std, whole.std, rtol=1e-12)
    assert a.nobservations == whole.nobservations


def test_refusals_count_nothing():
    recorder = recorded([torch.randn(2, 1, 6, 9)], (0, 1, 3))
    mean, n = recorder.mean.clone(), recorder.nobservations
    bad = torch.randn(2, 1, 6, 9)
    bad[1, 0, 2, 3], bad[0, 0, 0, 0] = torch.nan, torch.inf
    for batch, message in [
        (torch.randn(2, 1, 7, 9), r"keeps \[1, 1, 7, 1\]"),
        (torch.randn(6, 9), "no dimension 3"),
        (bad, "2 of 108 values"),
    ]:
        with pytest.raises(ValueError, match=message):
            recorder.update(batch)
    for other in (StatsRecorder((0, 2, 3)), recorded([torch.randn(2, 1, 7, 9)], (0, 1, 3))):
        with pytest.raises(ValueError, match="different dimensions"):
            recorder.merge(other)
    assert torch.equal(recorder.mean, mean) and recorder.nobservations == n


def test_few_elements():
    empty = StatsRecorder()
    empty.update(torch.zeros(0, 1, 4, 5))
    assert empty.nobservations == 0 and "nothing" in repr(empty)
    with pytest.raises(ValueError, match="nothing yet"):
        empty.std
    one = recorded([torch.full((1, 1, 1, 1), 3.0)], (0, 2, 3))
    assert one.mean.item() == 3 and one.std.isnan().all()
    with pytest.raises(ValueError, match="distinct"):
        StatsRecorder((0, 0, 2))


def test_input_is_left_alone():
    x = torch.randn(4, 1, 3, 5, requires_grad=True)
    before = x.detach().clone()
    recorder = recorded([x], (0, 2, 3))
    assert torch.equal(x, before) and not recorder.mean.requires_grad
