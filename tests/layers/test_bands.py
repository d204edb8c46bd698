"""Band-wise matching: its formula in float64, its equality with replaced statistics, and constant bins."""

import numpy as np
import torch

from fastaudio_norm.layers import BandMatch, SpecNorm
from fastaudio_norm.stats import StatsRecorder


def spectrograms(seed, mean, std):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(12, 1, 5, 20, generator=rng) * torch.tensor(std)[:, None] + torch.tensor(mean)[:, None]


TRAIN = spectrograms(0, [-40.0, -30, -20, -50, -60], [3.0, 5, 8, 2, 0])
LIVE = spectrograms(1, [-20.0, -50, -25, -45, -70], [6.0, 4, 1, 9, 0])


def recorded(x):
    recorder = StatsRecorder((0, 1, 3))
    recorder.update(x)
    return recorder


def moments(x):
    x = x.double()
    return x.mean((0, 1, 3), keepdim=True), x.std((0, 1, 3), correction=0, keepdim=True)


def test_live_spectrograms_get_the_statistics_of_training():
    match = BandMatch.from_statistics(recorded(LIVE), recorded(TRAIN))
    (mean, std), (known_mean, known_std) = moments(LIVE), moments(TRAIN)
    expected = (LIVE.double() - mean) / std.clamp(min=1e-30) * known_std + known_mean
    np.testing.assert_allclose(match(LIVE)[:, :, :4], expected[:, :, :4], atol=1e-4)
    np.testing.assert_allclose(match(LIVE)[:, :, 4], -60, atol=1e-4)  # constant bins only move


def test_statistics_of_each_bin_cancel_the_match():
    live, train = recorded(LIVE), recorded(TRAIN)
    norm, replaced = (SpecNorm.from_statistics(r.mean.float(), r.std.float(), (0, 1, 3)) for r in (train, live))
    match = BandMatch.from_statistics(live, train)
    torch.testing.assert_close(norm(match(LIVE)), replaced(LIVE), rtol=1e-4, atol=1e-4)


def test_power_is_matched_in_decibels():
    match, in_power = (BandMatch.from_statistics(recorded(LIVE), recorded(TRAIN), power) for power in (False, True))
    torch.testing.assert_close(10 * in_power(10 ** (LIVE / 10)).log10(), match(LIVE), rtol=1e-4, atol=1e-3)
    assert in_power(torch.zeros(1, 1, 5, 3)).isfinite().all()


def test_two_matches_are_one():
    between = recorded(spectrograms(2, [-10.0] * 5, [2.0] * 5))
    first, second = (
        BandMatch.from_statistics(recorded(LIVE), between),
        BandMatch.from_statistics(between, recorded(TRAIN)),
    )
    torch.testing.assert_close(second.after(first)(LIVE), second(first(LIVE)), rtol=1e-4, atol=1e-3)
