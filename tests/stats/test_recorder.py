"""`StatsRecorder` against all the data at once, in float64."""

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorders import DTYPES, RED_DIMS, assert_same, property_test, recorded

from fastaudio_norm.stats import StatsRecorder


@property_test
@given(
    items=st.integers(1, 9),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 40)),
    red_dims=st.sampled_from(RED_DIMS),
    dtype=st.sampled_from(DTYPES),
    level=st.sampled_from([0, 1e4, -80, 1e-9]),
    spread=st.sampled_from([0, 1e-9, 1, 20, 1e3]),
    correction=st.sampled_from([0, 1, 2]),
    seed=st.integers(0, 1000),
)
def test_one_batch_equals_torch_in_float64(items, shape, red_dims, dtype, level, spread, correction, seed):
    x = (torch.randn(items, *shape, generator=torch.Generator().manual_seed(seed)) * spread + level).to(dtype)
    recorder = recorded([x], red_dims, correction=correction)
    exact = x.double()
    mean = exact.mean(red_dims, keepdim=True)
    n = x.numel() // mean.numel()
    assert recorder.mean.dtype == recorder.std.dtype == recorder.var.dtype == torch.float64
    assert recorder.mean.shape == mean.shape and recorder.nobservations == n and (recorder.count == n).all()
    magnitude = exact.abs().amax()
    assert torch.allclose(recorder.mean, mean, rtol=0, atol=1e-13 * magnitude)
    if n - correction <= 0:
        assert recorder.var.isnan().all() and recorder.std.isnan().all()
    else:
        var = (exact - mean).square().sum(red_dims, keepdim=True) / (n - correction)
        assert torch.allclose(recorder.var, var, rtol=1e-9, atol=float(1e-24 * magnitude**2))
        assert torch.equal(recorder.std, recorder.var.sqrt())


@pytest.mark.parametrize("red_dims", [(0, 2, 3), (0, 1, 3)])
@pytest.mark.parametrize("mean, std", [(1e4, 1), (-60, 20), (0, 1e-9), (1e30, 1e25), (0, 1e-30)])
def test_relative_error_is_below_one_millionth(red_dims, mean, std):
    x = torch.randn(37, 2, 5, 101) * std + mean
    exact_std, exact_mean = torch.std_mean(x.double(), red_dims, keepdim=True)
    recorder = recorded(x.split([30, 1, 6]), red_dims)
    assert ((recorder.mean - exact_mean).abs() / exact_std).max() < 1e-6
    assert (recorder.std / exact_std - 1).abs().max() < 1e-6


@property_test
@given(data=st.data(), quantiles=st.booleans(), dtype=st.sampled_from(DTYPES), level=st.sampled_from([0, 1e4, -70]))
def test_partition_order_and_grouping_do_not_change_the_statistics(data, quantiles, dtype, level):
    n = data.draw(st.integers(2, 12))
    x = (torch.randn(n, 1, 3, 8, generator=torch.Generator().manual_seed(n)) * 20 + level).to(dtype)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    order = data.draw(st.permutations(range(n)))
    parts = [x[order][i:j] for i, j in zip([0, *cuts], [*cuts, n])]  # some may be empty
    whole = recorded([x], quantiles=quantiles)
    assert_same(recorded(parts, quantiles=quantiles), whole)
    recorders = [recorded([part], quantiles=quantiles) for part in parts]
    assert_same(sum(recorders), whole)
    while len(recorders) > 1:  # merge neighbours in any order, some after pickling
        i = data.draw(st.integers(0, len(recorders) - 2))
        recorders[i : i + 2] = [recorders[i] + pickle.loads(pickle.dumps(recorders[i + 1]))]
    assert_same(recorders[0], whole)


@property_test
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    red_dims=st.sampled_from(RED_DIMS[:4]),
    padding=st.sampled_from([500.0, torch.nan]),
)
def test_padding_is_not_counted(lengths, red_dims, padding):
    x = torch.randn(len(lengths), 2, 3, 12)
    for item, length in zip(x, lengths):
        item[..., length:] = padding
    padded = recorded([x], red_dims, [torch.tensor(lengths)], quantiles=True)
    one_by_one = recorded([item[None, ..., :n] for item, n in zip(x, lengths)], red_dims, quantiles=True)
    if any(lengths):
        assert_same(padded, one_by_one)
    else:
        assert padded.nobservations == one_by_one.nobservations == 0


def test_batches_may_differ_in_width():
    parts = [torch.randn(n, 1, 4, width) + level for n, width, level in [(3, 10, 0), (1, 2, 50), (7, 30, -50)]]
    together = torch.cat([p.transpose(0, 2).flatten(1) for p in parts], 1)[None, None]
    assert_same(recorded(parts), recorded([together.transpose(0, 1)]))


def test_statistics_of_zero_one_and_two_values():
    empty = StatsRecorder(quantiles=True)
    empty.update(torch.zeros(0, 1, 4, 5))
    empty.update(torch.zeros(2, 1, 4, 0))
    assert empty.nobservations == 0 and "nothing" in repr(empty)
    for name in ("mean", "std", "var", "min", "median", "quantile_error", "count"):
        with pytest.raises(ValueError, match="nothing yet"):
            getattr(empty, name)
    one = recorded([torch.full((1, 1, 1, 1), 3.0)], (0, 2, 3), quantiles=True)
    assert one.mean.item() == one.min.item() == one.median.item() == 3 and one.std.isnan().all()
    two = recorded([torch.tensor([1.0, 4.0]).view(2, 1, 1, 1)], (0, 2, 3), quantiles=True)
    assert (two.mean.item(), two.var.item(), two.max.item()) == (2.5, 4.5, 4)
    assert 0 <= two.median.item() - 1 <= two.quantile_error.item()
    assert recorded([torch.ones(1, 1, 1, 1)], correction=0).std.item() == 0


def test_update_does_not_change_its_input():
    x = torch.randn(4, 1, 3, 5, requires_grad=True)
    before = x.detach().clone()
    recorder = recorded([x])
    assert torch.equal(x, before) and not recorder.mean.requires_grad
    recorder.mean[:] = 7  # a copy
    assert not (recorder.mean == 7).any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("quantiles", [False, True])
def test_nonfinite_values_are_refused_or_skipped(bad, quantiles):
    x = torch.randn(5, 1, 3, 7) + 1e3
    good = x.clone()
    x[0, 0, 1, 0] = x[3, 0, 2, 6] = bad
    recorder = recorded([good], quantiles=quantiles)
    mean = recorder.mean
    with pytest.raises(ValueError, match=r"2 of 105 values .* batch 1, of shape \[5, 1, 3, 7\].*red_dims=\(0, 1, 3\)"):
        recorder.update(x)
    assert torch.equal(recorder.mean, mean) and recorder.nobservations == 35

    skipping = recorded([x], nonfinite="skip", quantiles=quantiles)
    assert skipping.skipped == 2 and "2 skipped" in repr(skipping)
    assert skipping.count.flatten().tolist() == [35, 34, 34] and skipping.nobservations == 35
    for k in range(3):
        values = x[:, 0, k].double()
        values = values[values.isfinite()]
        assert abs(skipping.mean[0, 0, k, 0] - values.mean()) < 1e-10
        assert abs(skipping.std[0, 0, k, 0] - values.std()) < 1e-10
        if quantiles:
            assert skipping.min[0, 0, k, 0] == values.min() and skipping.max[0, 0, k, 0] == values.max()


def test_only_a_bin_without_finite_values_is_nan():
    x = torch.randn(2, 1, 3, 4)
    x[:, :, 1] = torch.nan
    recorder = recorded([x, x + 1], nonfinite="skip", quantiles=True)
    for name in ("mean", "std", "min", "max", "median"):
        assert getattr(recorder, name).isnan().flatten().tolist() == [False, True, False], name
    assert recorder.reduced((0, 1, 2, 3)).mean.isfinite().all()


def test_values_whose_square_overflows_are_refused():
    with pytest.raises(ValueError, match="too large"):
        recorded([torch.tensor([1e200, -1e200], dtype=torch.float64).view(2, 1, 1, 1)])


@pytest.mark.parametrize(
    "batch, lengths, message",
    [
        (torch.randn(2, 1, 7, 9), None, r"keeps \[1, 1, 7, 1\]"),
        (torch.randn(6, 9), None, r"red_dims needs dimension 3, got a batch of shape \[6, 9\]"),
        (torch.randn(2, 1, 6, 9, dtype=torch.complex64), None, "needs real numbers, got torch.complex64"),
        (torch.randn(2, 1, 6, 9), [9, 10], "between 0 and 9"),
        (torch.randn(2, 1, 6, 9), [9], "must be 2 whole numbers"),
        (torch.randn(2, 1, 6, 9), [0.5, 1.0], "whole numbers"),
    ],
)
def test_a_refused_batch_is_not_counted(batch, lengths, message):
    recorder = recorded([torch.randn(2, 1, 6, 9)])
    mean, n = recorder.mean, recorder.nobservations
    with pytest.raises(ValueError, match=message):
        recorder.update(batch, lengths)
    assert torch.equal(recorder.mean, mean) and recorder.nobservations == n


@pytest.mark.parametrize(
    "other, message",
    [
        (StatsRecorder((0, 2, 3)), "different dimensions"),
        (recorded([torch.randn(2, 1, 7, 9)]), "different dimensions"),
        (StatsRecorder((0, 1, 3), settings={"n_fft": 512, "sr": 16000}), "n_fft=512 instead of 400"),
    ],
)
def test_incompatible_recorders_are_not_merged(other, message):
    recorder = recorded([torch.randn(2, 1, 6, 9)], settings={"n_fft": 400, "sr": 16000})
    mean = recorder.mean
    for merge in (recorder.merge, recorder.__add__):
        with pytest.raises(ValueError, match=message):
            merge(other)
    with pytest.raises(ValueError, match="does not record quantiles"):
        StatsRecorder((0, 1, 3), quantiles=True).merge(recorder)
    assert torch.equal(recorder.mean, mean)
    with pytest.raises(TypeError):
        recorder + 1
    unknown = StatsRecorder((0, 1, 3))
    unknown.merge(recorder)
    assert unknown.settings == recorder.settings  # other settings are refused from here on


@pytest.mark.parametrize(
    "options, message",
    [
        ({"red_dims": (0, 0)}, "must be distinct"),
        ({"red_dims": ()}, "distinct"),
        ({"nonfinite": "ignore"}, 'must be "raise" or "skip", got \'ignore\''),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StatsRecorder(**options)
    with pytest.raises(ValueError, match="quantiles=True"):
        recorded([torch.randn(2, 1, 6, 9)]).median


def test_update_remembers_settings_and_refuses_others():
    recorder, batch = StatsRecorder((0, 1, 3)), torch.randn(2, 1, 6, 9)
    recorder.update(batch)
    assert recorder.settings is None
    recorder.update(batch, settings={"n_fft": 400, "sr": 16000})
    recorder.update(batch, settings={"n_fft": 400, "hop_length": 160})  # only common names are compared
    assert recorder.settings == {"n_fft": 400, "sr": 16000} and recorder.batches == 3
    with pytest.raises(ValueError, match="settings of earlier batches, got n_fft=512 instead of 400"):
        recorder.update(batch, settings={"n_fft": 512})
    with pytest.raises(ValueError, match="keeps"):
        recorder.update(torch.randn(2, 1, 7, 9), settings={"n_fft": 400})
    assert recorder.batches == 3 and recorder.nobservations == 54


def test_a_refused_first_batch_leaves_no_settings():
    recorder = StatsRecorder((0, 1, 3))
    with pytest.raises(ValueError, match="not finite"):
        recorder.update(torch.full((2, 1, 6, 9), torch.nan), settings={"n_fft": 400})
    assert recorder.settings is None and recorder.is_empty


def test_moments_and_histogram_need_values():
    for name in ("moments", "histogram"):
        with pytest.raises(ValueError, match="counted nothing yet"):
            getattr(StatsRecorder(quantiles=True), name)
    recorder = recorded([torch.randn(2, 1, 6, 9)], quantiles=True)
    assert recorder.moments.n.shape == (1, 1, 6, 1)
    assert (recorder.histogram.counts.sum(1) == 18).all()
    with pytest.raises(ValueError, match="create it with quantiles=True"):
        recorded([torch.randn(2, 1, 6, 9)]).histogram
