"""Features of clips, their mean and covariance, and how recorders save and merge them."""

import json

import numpy as np
import pytest
import torch
from drift_support import as_spectrogram, random_clips, recorded, update
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.stats import N_BANDS, ClipFeatures, StatsRecorder, as_rows, row_moments, sum_steps


def measured(x):
    "Moments and steps of the rows of each clip."
    rows, lengths, shape = as_rows(x, (0, 3))
    moments = row_moments(rows, lengths, extremes=True, each_item=True).reshaped((-1, *shape[1:]))
    return moments, sum_steps(rows, lengths).reshape(2, *moments.n.shape[:3])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.data())
def test_merging_parts_equals_one_pass_over_all_clips(n, bins, data):
    x = torch.randn(n, 2, bins, 7, generator=torch.Generator().manual_seed(n)) * 5 - 40
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=3)))
    whole, parts = ClipFeatures(bins), ClipFeatures(bins)
    whole.update(*measured(x))
    for start, end in zip([0, *cuts], [*cuts, n]):
        part = ClipFeatures(bins)
        part.update(*measured(x[start:end]))
        parts.merge(part)
    np.testing.assert_allclose(parts.features.mean, whole.features.mean, rtol=1e-9)
    np.testing.assert_allclose(parts.features.m2, whole.features.m2, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(parts.bins.m2, whole.bins.m2, rtol=1e-7, atol=1e-7)
    assert parts.bins.n == n


def test_features_are_level_peak_shape_spread_and_decay():
    x = random_clips(50, 3).double()
    found = ClipFeatures(64)
    found.update(*measured(x))
    level, peak = x.mean((1, 2, 3)), x.amax((1, 2, 3))
    bands = x.unflatten(2, (N_BANDS, 4))
    shape = bands.mean((1, 3, 4)) - level[:, None]
    spread = x.var((1, 3), correction=0).unflatten(1, (N_BANDS, 4)).mean(2).sqrt().log1p()
    steps = x.diff(dim=3)
    decay = [side.clamp(min=0).square().mean((1, 2, 3)).sqrt().log1p() for side in (steps, -steps)]
    features = torch.cat([torch.stack([level, peak], 1), shape[:, :-1], spread, torch.stack(decay, 1)], 1).numpy()
    np.testing.assert_allclose(found.features.mean, features.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.features.covariance, np.cov(features.T), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.bins.covariance, x.mean(3)[:, 0].numpy().var(0, ddof=1), rtol=1e-9)
    assert {name: part.stop - part.start for name, part in found.groups.items()} == {
        "level": 2,
        "shape": 15,
        "spread": 16,
        "decay": 2,
    }


def test_a_recorder_saves_and_merges_features_of_clips(tmp_path):
    x = random_clips(30, 1)
    whole, first, second = recorded(x), *(StatsRecorder((0, 1, 3), quantiles=True, clips=True) for _ in "ab")
    update(first, as_spectrogram(x[:11]))
    first.save(tmp_path / "first.json")
    first = StatsRecorder.load(tmp_path / "first.json")
    update(second, as_spectrogram(x[11:]))
    first.merge(second)
    np.testing.assert_allclose(first.clips.features.m2, whole.clips.features.m2, rtol=1e-9, atol=1e-9)
    assert first.reduced((0, 1, 2, 3)).clips.bins.n == 30
    with pytest.raises(ValueError, match="does not record how clips differ"):
        first.merge(StatsRecorder((0, 1, 3), quantiles=True))
    with pytest.raises(ValueError, match="batch, channel, frequency, time"):
        StatsRecorder((0, 3), clips=True).update(torch.zeros(2, 3, 4, 5, 6))
    with pytest.raises(ValueError, match="dimensions 0 and 3"):
        StatsRecorder((0, 2), clips=True)


def test_padding_is_ignored():
    x, lengths = random_clips(7, 2), torch.tensor([40, 7, 40, 0, 13, 1, 25])
    padded, alone = StatsRecorder((0, 1, 3), clips=True), StatsRecorder((0, 1, 3), clips=True)
    for clip, length in zip(x, lengths):
        alone.update(clip[None, ..., :length])
        clip[..., length:] = -100.0
    padded.update(x, lengths=lengths)
    assert padded.clips.bins.n == 6
    np.testing.assert_allclose(padded.clips.features.m2, alone.clips.features.m2, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("change", ["n", "size", "negative", "nan"])
def test_damaged_content_is_refused(change, reference):
    content = json.loads(json.dumps(reference.clips.to_dict()))
    if change == "n":
        content["n"] = -1
    elif change == "size":
        content["features"][0].pop()
    else:
        content["bins"][1][0] = -1.0 if change == "negative" else float("nan")
    with pytest.raises(ValueError):
        ClipFeatures.from_dict(content)
