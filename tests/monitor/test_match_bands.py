"""Models with matched bands: their inputs, files and exports, a second match, and models that are refused."""

import pytest
import torch
from drift_support import save_model
from torch import nn

from fastaudio_norm.layers import ASTFrontEnd, BandMatch, GroupedSpecNorm, PCENLayer, SlidingNorm, SpecNorm
from fastaudio_norm.monitor import match_bands
from fastaudio_norm.serve import Decibels, SoundClassifier
from fastaudio_norm.stats import StatsRecorder


@pytest.fixture(scope="module")
def plain(made_up, tmp_path_factory):
    "File of a model without normalization."
    return save_model(made_up, "none", tmp_path_factory.mktemp("models") / "none.safetensors")


def model(plain, *norms):
    "The model with these layers behind the spectrogram; PCEN takes the place of decibels."
    classifier = SoundClassifier.load(plain)
    in_power = any(isinstance(norm, PCENLayer) for norm in norms)
    layers = [layer for layer in classifier.front if not (in_power and isinstance(layer, Decibels))]
    classifier.front = nn.Sequential(*layers, *norms)
    return classifier


def matches(classifier):
    return [layer for layer in classifier.front if isinstance(layer, BandMatch)]


@pytest.mark.parametrize(
    "norms",
    [(), (SpecNorm((0, 2, 3), shape=[1, 1, 1, 1]),), (PCENLayer(None, 31.25, gain=0.5),)],
    ids=["none", "global", "pcen"],
)
def test_a_matched_model_hears_louder_clips_like_training_clips(norms, measured, louder, plain, tmp_path):
    before, after = model(plain, *norms), model(plain, *norms)
    match_bands(after, measured, louder)
    x = torch.randn(2, 1, 4000, generator=torch.Generator().manual_seed(0))
    gain = 10 ** ((louder.mean - measured.mean).mean().item() / 20)  # `louder` is 20 dB louder
    expected = before.front_end(x)
    unmatched, matched = ((each.front_end(gain * x) - expected).abs().mean().item() for each in (before, after))
    assert matched < 0.1 * unmatched
    [match] = matches(after)
    assert match.options["power"] == any(isinstance(norm, PCENLayer) for norm in norms)
    after.save(tmp_path / "matched.safetensors")
    torch.testing.assert_close(SoundClassifier.load(tmp_path / "matched.safetensors")(x), after(x))


def test_a_second_match_returns_to_the_training_statistics(measured, louder, plain):
    classifier = model(plain)
    match_bands(classifier, measured, louder)
    match_bands(classifier, louder, measured)
    [match] = matches(classifier)
    torch.testing.assert_close(match.scale, torch.ones_like(match.scale))
    torch.testing.assert_close(match.offset, torch.zeros_like(match.offset), atol=1e-3, rtol=0)


def test_models_that_normalize_each_bin_or_by_group_are_refused(measured, louder, plain):
    of_bins = [1, 1, 64, 1]
    for norm, message in (
        (SpecNorm((0, 1, 3), shape=of_bins), "equals an update of these statistics"),
        (SpecNorm((0, 1, 3), "robust", shape=of_bins), "equals an update of these statistics"),
        (SpecNorm((3,)), "which cancels any matching"),
        (SlidingNorm(), "which cancels any matching"),
        (GroupedSpecNorm((0, 1, 3), "zscore", (0, 1), of_bins, ["a"]), "with groups"),
    ):
        with pytest.raises(ValueError, match=message):
            match_bands(model(plain, norm), measured, louder)
    with pytest.raises(ValueError, match="not available for AST.*--adapt statistics or batchnorm"):
        match_bands(SoundClassifier([ASTFrontEnd()], nn.Identity(), ["a"], 16000), measured, louder)


def test_statistics_of_power_or_other_spectrograms_are_refused(measured, louder, plain):
    classifier = model(plain)
    power = StatsRecorder((0, 1, 3), settings={**measured.settings, "to_db": False})
    power.update(torch.rand(3, 1, 64, 9))
    with pytest.raises(ValueError, match="dB, got power"):
        match_bands(classifier, power, power)
    linear = StatsRecorder((0, 1, 3), settings={**measured.settings, "hop_length": 200})
    linear.update(torch.rand(3, 1, 64, 9))
    with pytest.raises(ValueError, match="do not fit this model.*hop_length=200"):
        match_bands(classifier, measured, linear)
    assert not matches(classifier)
