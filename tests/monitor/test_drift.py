"""The drift report: description in words, comparison of bins, figure."""

import json
import re

import numpy as np
import pytest
import torch
from drift_support import HZ, as_spectrogram, random_clips, recorded, report

from fastaudio_norm.monitor import DriftMonitor


def changed(x, change):
    if change == "low-pass":
        return x - torch.from_numpy(np.maximum(0, HZ - 4000) / 40).float()[:, None]
    if change == "high-pass":
        return x - torch.from_numpy(np.maximum(0, 1000 - HZ) / 20).float()[:, None]
    if change == "hum":
        x = x.clone()
        x[:, :, 7:10] = x[:, :, 7:10].maximum(torch.tensor([2.0, 8.0, 2.0])[:, None])  # through a Hann window
        return x
    if change == "noise":
        noise = 10 ** ((x.amax((1, 2, 3), keepdim=True) - 15) / 10) * torch.empty_like(x).exponential_()
        return 10 * torch.log10(10 ** (x / 10) + noise)
    return x + change


@pytest.mark.parametrize(
    "change, words",
    [
        (9.0, "level up (8|9|10|11) dB"),
        (-9.0, "level down (7|8|9|10|11) dB"),
        ("low-pass", "everything above [34]..* kHz gone"),
        ("high-pass", "everything below"),
        ("hum", "tone at 1.0 kHz"),
        ("noise", "background noise"),
    ],
)
def test_the_words_describe_the_change(change, words, reference):
    said = ["; ".join(report(reference, changed(random_clips(20, 500 + seed), change)).words) for seed in range(4)]
    assert sum(bool(re.match(words, text)) for text in said) >= 3, said


def test_the_report_is_json_and_a_page(reference):
    drift = report(reference, random_clips(20, 0) + 20)
    content = json.loads(json.dumps(drift.to_dict()))
    assert content["alarm"] and content["clips"] == 20 and content["causes"][0]["cause"] == "gain"
    page = drift.to_html({"<script>": "a&b"})
    assert "<h1>Drift</h1>" in page and "&lt;script&gt;" in page and "a&amp;b" in page and "<script>" not in page
    assert "<h1>No drift</h1>" in report(reference, random_clips(20, 3)).to_html()


def test_differences_of_bins_are_also_in_standard_deviations_between_clips(reference):
    bins = report(reference, random_clips(200, 9) + 3.0).bins
    own = random_clips(200, 9).mean((1, 3)) + 3.0
    expected = own.mean(0).numpy() - reference.clips.bins.mean
    np.testing.assert_allclose(bins.difference, expected, atol=1e-4)
    np.testing.assert_allclose(bins.standardized, expected / np.sqrt(reference.clips.bins.covariance), rtol=1e-4)
    assert (bins.distance > 0).all() and (bins.distance < 1).all() and np.allclose(bins.frequency, HZ)


def test_silent_and_constant_clips_are_drift_not_errors(reference):
    drift = report(reference, torch.full((20, 1, 64, 40), -100.0))
    assert drift.alarm and np.isfinite(drift.tests.p).all()
    silent = recorded(torch.full((60, 1, 64, 40), -100.0))
    assert report(silent, random_clips(20, 0)).alarm
    assert not report(silent, torch.full((20, 1, 64, 40), -100.0)).alarm


def test_the_figure_and_the_text_show_the_words(reference):
    monitor = DriftMonitor(reference)
    monitor.update(as_spectrogram(random_clips(20, 0) + 20))
    top, bottom = monitor.show().axes
    assert re.search("level up (19|20|21) dB", top.get_title()) and bottom.get_xlabel() == "frequency (Hz)"
    assert str(monitor.report()).startswith(f"20 clips: {monitor.report().words[0]}")
