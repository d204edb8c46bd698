"""Recorders against all the data at once, in float64."""

import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.stats.recorder import StatsRecorder, common_recorder
from fastaudio_norm.storage import MAX_JSON_BYTES, read_json, write_json

RED_DIMS = [(0, 2, 3), (0, 1, 3), (0, 3), (0, 1, 2, 3), (3,), (2, 3), (0, 1, 2), (1, 0, 3)]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int16, torch.int64, torch.uint8]

property_test = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def recorded(parts, red_dims=(0, 1, 3), lengths=None, **options):
    recorder = StatsRecorder(red_dims, **options)
    for i, part in enumerate(parts):
        recorder.update(part, None if lengths is None else lengths[i])
    return recorder


def assert_same(a, b, rel=1e-12):
    "Within `rel`; the mean in units of std."
    assert torch.equal(a.count, b.count)
    std = b.std.nan_to_num().clamp(min=1e-300)
    assert ((a.mean - b.mean).abs() <= rel * (std + b.mean.abs())).all()
    assert torch.allclose(a.std, b.std, rtol=1e-9, atol=1e-12 * float(b.mean.abs().max()), equal_nan=True)
    if a.quantiles:
        assert torch.equal(a.min, b.min) and torch.equal(a.max, b.max)
        for q in (0, 0.1, 0.5, 0.9, 1):
            assert torch.equal(a.quantile(q), b.quantile(q))


# ---- what the numbers are


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
def test_one_batch_is_what_torch_says_in_float64(items, shape, red_dims, dtype, level, spread, correction, seed):
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
def test_error_is_a_millionth_at_most(red_dims, mean, std):
    x = torch.randn(37, 2, 5, 101) * std + mean
    exact_std, exact_mean = torch.std_mean(x.double(), red_dims, keepdim=True)
    recorder = recorded(x.split([30, 1, 6]), red_dims)
    assert ((recorder.mean - exact_mean).abs() / exact_std).max() < 1e-6
    assert (recorder.std / exact_std - 1).abs().max() < 1e-6


@property_test
@given(data=st.data(), quantiles=st.booleans(), dtype=st.sampled_from(DTYPES), level=st.sampled_from([0, 1e4, -70]))
def test_any_partition_order_and_grouping_is_the_same(data, quantiles, dtype, level):
    n = data.draw(st.integers(2, 12))
    x = (torch.randn(n, 1, 3, 8, generator=torch.Generator().manual_seed(n)) * 20 + level).to(dtype)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    order = data.draw(st.permutations(range(n)))
    parts = [x[order][i:j] for i, j in zip([0, *cuts], [*cuts, n])]  # empty ones among them
    whole = recorded([x], quantiles=quantiles)
    assert_same(recorded(parts, quantiles=quantiles), whole)
    recorders = [recorded([part], quantiles=quantiles) for part in parts]
    assert_same(sum(recorders), whole)
    while len(recorders) > 1:  # any grouping, some through pickle
        i = data.draw(st.integers(0, len(recorders) - 2))
        recorders[i : i + 2] = [recorders[i] + pickle.loads(pickle.dumps(recorders[i + 1]))]
    assert_same(recorders[0], whole)


@property_test
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    red_dims=st.sampled_from(RED_DIMS[:4]),
    padding=st.sampled_from([500.0, torch.nan]),
)
def test_padding_is_left_out(lengths, red_dims, padding):
    x = torch.randn(len(lengths), 2, 3, 12)
    for item, length in zip(x, lengths):
        item[..., length:] = padding
    padded = recorded([x], red_dims, [torch.tensor(lengths)], quantiles=True)
    one_by_one = recorded([item[None, ..., :n] for item, n in zip(x, lengths)], red_dims, quantiles=True)
    if any(lengths):
        assert_same(padded, one_by_one)
    else:
        assert padded.nobservations == one_by_one.nobservations == 0


def test_widths_may_differ():
    parts = [torch.randn(n, 1, 4, width) + level for n, width, level in [(3, 10, 0), (1, 2, 50), (7, 30, -50)]]
    together = torch.cat([p.transpose(0, 2).flatten(1) for p in parts], 1)[None, None]
    assert_same(recorded(parts), recorded([together.transpose(0, 1)]))


def test_threads_and_views_make_no_difference():
    x = torch.randn(64, 1, 50, 401) * 20 - 60  # enough for two threads
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


def test_few_elements():
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


def test_input_is_left_alone():
    x = torch.randn(4, 1, 3, 5, requires_grad=True)
    before = x.detach().clone()
    recorder = recorded([x])
    assert torch.equal(x, before) and not recorder.mean.requires_grad
    recorder.mean[:] = 7  # a copy
    assert not (recorder.mean == 7).any()


# ---- what is not finite


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("quantiles", [False, True])
def test_not_finite_is_refused_or_left_out(bad, quantiles):
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


def test_a_bin_without_any_finite_value_is_nan_and_the_others_are_not():
    x = torch.randn(2, 1, 3, 4)
    x[:, :, 1] = torch.nan
    recorder = recorded([x, x + 1], nonfinite="skip", quantiles=True)
    for name in ("mean", "std", "min", "max", "median"):
        assert getattr(recorder, name).isnan().flatten().tolist() == [False, True, False], name
    assert recorder.reduced((0, 1, 2, 3)).mean.isfinite().all()


def test_what_float64_cannot_square_is_refused():
    with pytest.raises(ValueError, match="too large"):
        recorded([torch.tensor([1e200, -1e200], dtype=torch.float64).view(2, 1, 1, 1)])


# ---- refusals count nothing


@pytest.mark.parametrize(
    "batch, lengths, message",
    [
        (torch.randn(2, 1, 7, 9), None, r"keeps \[1, 1, 7, 1\]"),
        (torch.randn(6, 9), None, "no dimension 3"),
        (torch.randn(2, 1, 6, 9, dtype=torch.complex64), None, "real numbers"),
        (torch.randn(2, 1, 6, 9), [9, 10], "between 0 and 9"),
        (torch.randn(2, 1, 6, 9), [9], "2 whole numbers"),
        (torch.randn(2, 1, 6, 9), [0.5, 1.0], "whole numbers"),
    ],
)
def test_refusals_count_nothing(batch, lengths, message):
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
def test_what_cannot_be_merged(other, message):
    recorder = recorded([torch.randn(2, 1, 6, 9)], settings={"n_fft": 400, "sr": 16000})
    mean = recorder.mean
    for merge in (recorder.merge, recorder.__add__):
        with pytest.raises(ValueError, match=message):
            merge(other)
    with pytest.raises(ValueError, match="not counted quantiles"):
        StatsRecorder((0, 1, 3), quantiles=True).merge(recorder)
    assert torch.equal(recorder.mean, mean)
    with pytest.raises(TypeError):
        recorder + 1
    unknown = StatsRecorder((0, 1, 3))
    unknown.merge(recorder)
    assert unknown.settings == recorder.settings  # from here on, others are refused


@pytest.mark.parametrize(
    "options, message",
    [({"red_dims": (0, 0)}, "distinct"), ({"red_dims": ()}, "distinct"), ({"nonfinite": "ignore"}, "raise")],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        StatsRecorder(**options)
    with pytest.raises(ValueError, match="quantiles=True"):
        recorded([torch.randn(2, 1, 6, 9)]).median


def test_lengths_need_frames_to_reduce_over():
    with pytest.raises(ValueError, match="first and the last dimension"):
        StatsRecorder((0, 1, 2)).update(torch.randn(2, 1, 6, 9), [3, 4])


# ---- global from per bin


@pytest.mark.parametrize("quantiles", [False, True])
@pytest.mark.parametrize("over", [(0, 3), (0,)])
def test_reduced_is_what_another_recorder_would_have_counted(over, quantiles):
    parts = [torch.randn(n, 2, 6, 9) * torch.rand(6, 1) * 30 - 50 for n in (4, 1, 7)]
    finest = recorded(parts, over, quantiles=quantiles)
    for red_dims in [(0, 2, 3), (0, 1, 3), (0, 1, 2, 3), (0, 3)]:
        assert_same(finest.reduced(red_dims), recorded(parts, red_dims, quantiles=quantiles))
    with pytest.raises(ValueError, match="cannot tell"):
        finest.reduced((1, 2))


def test_several_recorders_count_what_they_have_in_common_once():
    parts = [torch.randn(n, 2, 6, 9) - 50 for n in (4, 1, 7)]
    options = {(0, 2, 3): {"correction": 0}, (0, 1, 3): {"quantiles": True}, (3, 0): {}}
    wanted = [StatsRecorder(red_dims, **o) for red_dims, o in options.items()]
    shared = common_recorder(wanted)
    assert set(shared.red_dims) == {0, 3} and shared.quantiles and shared.nonfinite == "raise"
    for part in parts:
        shared.update(part)
    for recorder in wanted:
        recorder.merge(shared.reduced(recorder.red_dims))
        assert_same(recorder, recorded(parts, recorder.red_dims, **options[recorder.red_dims]))
    assert common_recorder([StatsRecorder(nonfinite="skip")]).nonfinite == "skip"


# ---- quantiles

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
    "`values` [bins, all of them]."
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
def test_quantiles_of_anything_stay_within_their_bound(parts):
    batches = [torch.tensor(part).view(-1, 1, 1, 1) for part in parts]
    recorder = recorded(batches, quantiles=True)
    values = torch.cat(batches).flatten()
    for q in (0, 0.25, 0.5, 1):
        expected = np.quantile(values.double().numpy(), q, method="inverted_cdf")
        assert abs(recorder.quantile(q).item() - expected) <= recorder.quantile_error.item()
    assert torch.equal(recorder.median, recorded(batches[::-1], quantiles=True).median)


def test_quantiles_are_between_0_and_1():
    with pytest.raises(ValueError, match="between 0 and 1"):
        recorded([torch.randn(2, 1, 6, 9)], quantiles=True).quantile(50)


# ---- files


@pytest.fixture
def saved(tmp_path):
    recorder = recorded([torch.randn(3, 1, 4, 50) * 20 - 60], quantiles=True, settings={"n_fft": 400, "window": None})
    recorder.about = {"clips": 3, "folds": [2, 3]}
    recorder.save(tmp_path / "stats.json")
    return recorder, tmp_path / "stats.json"


@pytest.mark.parametrize("quantiles", [False, True])
def test_a_file_is_exact_and_goes_on_counting(tmp_path, quantiles):
    parts = [torch.randn(3, 1, 4, 50) * 20 - 60, torch.randn(5, 1, 4, 20)]
    parts[0][0, 0, 2] = torch.nan
    recorder = recorded(parts[:1], nonfinite="skip", quantiles=quantiles)
    recorder.save(tmp_path / "stats.json")
    again = StatsRecorder.load(tmp_path / "stats.json")
    names = ["count", "mean", "std"] + (["min", "max", "median", "iqr", "quantile_error"] if quantiles else [])
    for name in names:
        assert torch.equal(getattr(again, name), getattr(recorder, name)), name
    assert repr(again) == repr(recorder)
    for r in (again, recorder):
        r.update(parts[1])
    assert torch.equal(again.mean, recorder.mean) and torch.equal(again.std, recorder.std)
    assert again.skipped == recorder.skipped == 50 and again.batches == 2


def test_a_file_tells_what_it_describes(saved):
    recorder, file = saved
    again = StatsRecorder.load(file)
    assert (again.settings, again.about) == (recorder.settings, recorder.about)
    assert json.loads(file.read_text())["content"]["fastaudio_norm"].count(".") == 2


def spoil(file, how):
    "Edit, with a checksum that fits."
    content = read_json(file, "statistics", 1)
    how(content)
    write_json(file, "statistics", 1, content)


@pytest.mark.parametrize(
    "how, message",
    [
        (lambda c: c.update(means=c.pop("mean")), "KeyError: 'mean'"),
        (lambda c: c["mean"].pop(), "ValueError"),
        (lambda c: c["m2"].__setitem__(0, -1.0), "negative"),
        (lambda c: c["n"].__setitem__(0, -3), "negative|boolean|cannot"),
        (lambda c: c.update(shape=[1, 4, 1, 1]), "cannot have the shape"),
        (lambda c: c.update(shape=[10**12]), "reshape"),
        (lambda c: c["counts"][0].__setitem__(0, 5), "add up"),
        (lambda c: c["counts"].pop(), "shorter"),
        (lambda c: c["counts"][0].extend([0] * 2000), "broadcast"),
        (lambda c: c.update(red_dims="all"), "TypeError|ValueError"),
        (lambda c: c.update(nonfinite="x"), "raise"),
        (lambda c: c.update(mean=["a"] * 4), "could not convert"),
        (lambda c: c.update(mean=None), "TypeError|ValueError"),
        (lambda c: c.update(settings=[1]), "no table"),
        (lambda c: c.update(settings={"n_fft": [10**9] * 3}), "no table"),
        (lambda c: c.update(about="../../etc/passwd"), "no table"),
        (lambda c: c.update(batches="many"), "whole number"),
        (lambda c: c.update(correction=None), "whole number"),
        (lambda c: c["n"].__setitem__(0, 10**30), "OverflowError"),
        # what bench/fuzz.py has found
        (lambda c: c.update(correction=10**400), "whole number"),
        (lambda c: c.update(correction=-(2**63)), "whole number"),
        (lambda c: c.update(batches=-1), "whole number"),
        (lambda c: c.update(red_dims=[False, 1, 3]), "whole number"),
        (lambda c: c.update(shape=[1, 1, 0, 1], n=[], mean=[], m2=[], low=[], high=[], counts=[]), "no counts"),
        (
            lambda c: c.update(shape=[1, 1, 10**5, 1], n=[0] * 10**5, mean=[], m2=[], low=[], high=[], counts=[]),
            "more than",
        ),
        (lambda c: c.update(quantiles=False, n=[2**63 - 1, 3, 3, 3]), "too large"),
        (lambda c: c.update(low=c["high"], high=c["low"]), "above the largest"),
        (lambda c: c["counts"][0].extend([2**62] * 4), "add up"),
    ],
)
def test_a_file_with_wrong_content(saved, how, message):
    _, file = saved
    spoil(file, how)
    with pytest.raises(ValueError, match=f"stats.json does not hold statistics: .*({message})"):
        StatsRecorder.load(file)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text[:-20], "cut short"),
        (lambda text: "", "cut short"),
        (lambda text: text.replace('"sr', '"rs').replace("-6", "-7", 1), "changed after it was written"),
        (lambda text: text.replace('"kind"', '"type"'), "no statistics file of fastaudio_norm"),
        (lambda text: text.replace('"version": 1', '"version": 2'), "version 2"),
        (lambda text: text.replace('"mean": [', '"mean": [NaN, '), "NaN for a number"),
        (lambda text: text.replace('"mean": [', '"mean": [1e999, '), "1e999 for a number"),
        (lambda text: "[" * 100_000, "cut short"),
        (lambda text: "[1, 2]", "it should hold"),
        (lambda text: '{"a": 1' + "0" * 5000 + "}", "cut short"),
        (lambda text: "\x00\x01", "cut short"),
    ],
)
def test_a_spoiled_file(saved, change, message):
    _, file = saved
    file.write_text(change(file.read_text()))
    with pytest.raises(ValueError, match=message):
        StatsRecorder.load(file)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError):
        StatsRecorder.load(tmp_path / "none.json")
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(ValueError, match="cut short"):
        StatsRecorder.load(tmp_path / "noise")
    with open(tmp_path / "large.json", "wb") as large:
        large.truncate(200 * 2**20)
    with pytest.raises(ValueError, match="200 MiB, more than 64"):
        StatsRecorder.load(tmp_path / "large.json")
    assert MAX_JSON_BYTES == 64 * 2**20


def test_a_failed_write_leaves_what_was_there(saved, monkeypatch):
    recorder, file = saved
    before = file.read_text()
    recorder.about = {"clips": float("nan")}
    with pytest.raises(ValueError):
        recorder.save(file)
    recorder.about = {}
    monkeypatch.setattr("fastaudio_norm.storage.os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space"):
        recorder.save(file)
    assert file.read_text() == before and [f.name for f in file.parent.iterdir()] == ["stats.json"]
