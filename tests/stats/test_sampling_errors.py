"""`SamplingErrors`: standard errors of statistics measured on a random sample of clips."""

import numpy as np
import torch

from fastaudio_norm.data.sources import sample_files
from fastaudio_norm.stats.recorder import StatsRecorder
from fastaudio_norm.stats.sampling import SamplingErrors


def clips_of_different_levels(n, bins=3):
    "Clips [1, 1, bins, frames], each with its own level and length; frames of one clip resemble each other."
    widths, levels = torch.randint(5, 60, (n,)).tolist(), torch.randn(n, 1, 1, bins, 1) * 10 + 1e3
    return [level + torch.randn(1, 1, bins, width) for level, width in zip(levels, widths)]


def test_standard_errors_match_the_spread_of_many_samples():
    clips = clips_of_different_levels(400)
    full = StatsRecorder((0, 3))
    for clip in clips:
        full.update(clip)
    deviations, standard_errors = [], []
    for seed in range(200):
        sample, errors = StatsRecorder((0, 3)), SamplingErrors()
        for clip in sample_files(clips, 0.2, seed):
            sample.update(clip)
            errors.update(clip)
        deviations.append([(getattr(sample, s) - getattr(full, s)).flatten().numpy() for s in ("mean", "std")])
        standard_errors.append([s[:-1] for s in errors.standard_errors(sample, 0.2)])
    assert np.abs(np.mean(standard_errors, 0) / np.std(deviations, 0) - 1).max() < 0.2


def test_merged_standard_errors_equal_those_of_all_clips():
    clips = clips_of_different_levels(30)
    recorder, whole, parts = StatsRecorder((0, 3)), SamplingErrors(), [SamplingErrors() for _ in range(4)]
    for i, clip in enumerate(clips):
        recorder.update(clip)
        whole.update(clip)
        parts[i % 3].update(clip)  # the fourth part stays empty
    for part in parts[1:]:
        parts[0].merge(part)
    parts[3].merge(parts[0])
    for merged in (parts[0], parts[3]):
        assert merged.clips == 30
        for ours, expected in zip(merged.standard_errors(recorder, 0.1), whole.standard_errors(recorder, 0.1)):
            assert np.allclose(ours, expected, rtol=1e-6)
    before = parts[0].products.copy()
    parts[3].update(clips[0])
    assert (parts[0].products == before).all()


def test_a_sample_of_all_clips_has_no_error():
    clips = clips_of_different_levels(5)
    recorder, errors = StatsRecorder((0, 3)), SamplingErrors()
    for clip in clips:
        recorder.update(clip)
        errors.update(clip)
    assert all((e == 0).all() for e in errors.standard_errors(recorder, 1.0))
