"""Statistics that follow the sound: blends, files that are kept, and models that take them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.audio.spectrograms import SAMPLE_RATE
from fastaudio_norm.cli.main import main
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.measure import measure
from fastaudio_norm.monitor.drift import DriftMonitor
from fastaudio_norm.monitor.update import update_stats
from fastaudio_norm.serve.classifier import SoundClassifier, as_pipeline
from fastaudio_norm.stats.recorder import StatsRecorder
from fastaudio_norm.train.learner import spec_learner
from fastaudio_norm.train.recipe import Recipe, make_tfms
from fastaudio_norm.transforms.spectrogram import SpecNormalize


def counted(x, **options):
    recorder = StatsRecorder((0, 1, 3), quantiles=True, clips=True, correction=0, **options)
    recorder.update(x)
    return recorder


def sound(n, seed, level=0.0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 20, 30, generator=rng) * torch.linspace(1, 9, 20)[:, None] - 40 + level


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 99), st.floats(-60, 60))
def test_with_the_share_that_it_has_a_blend_is_a_merge(n, m, seed, level):
    old, new = counted(sound(n, seed)), counted(sound(m, seed + 1, level))
    blend, merged = old.blended(new, m / (n + m)), old + new
    np.testing.assert_allclose(blend.mean, merged.mean, rtol=1e-9)
    np.testing.assert_allclose(blend.std, merged.std, rtol=1e-9)
    both = [each.counts.cumsum(1) for each in blend._histogram.together(merged._histogram)]
    shares = [upto / upto[:, -1:] for upto in both]
    np.testing.assert_allclose(*shares, atol=1 / old.nobservations)  # for there are whole numbers of values
    np.testing.assert_allclose(blend.clips.features.mean, merged.clips.features.mean, rtol=1e-9)
    covariances = (each.clips.features.m2 / each.clips.features.n for each in (blend, merged))
    np.testing.assert_allclose(*covariances, rtol=1e-9, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.floats(0.01, 1.0))
def test_a_blend_counts_as_much_as_before_and_can_be_kept(seed, weight):
    old = counted(sound(7, seed))
    blend = old.blended(counted(sound(4, seed + 1, 20.0)), weight)
    assert blend.nobservations == old.nobservations and blend.clips.bins.n == 7
    assert (blend._histogram.counts.sum(1) == old.nobservations).all() and (blend._histogram.counts >= 0).all()
    assert (old.mean < blend.mean).all() and blend.std.isfinite().all()


def test_a_weight_of_one_is_all_new():
    old, new = counted(sound(7, 0)), counted(sound(4, 1, 20.0))
    blend = old.blended(new, 1)
    np.testing.assert_allclose(blend.mean, new.mean, rtol=1e-12)
    np.testing.assert_allclose(blend.std, new.std, rtol=1e-9)
    assert ((blend.median - new.median).abs() <= 2 * blend.quantile_error).all()


def test_the_finer_one_is_reduced_to_the_other():
    fine = StatsRecorder((0, 3), quantiles=True)
    x, y = torch.randn(3, 2, 5, 9), torch.randn(4, 2, 5, 9)
    fine.update(x)
    coarse = StatsRecorder((0, 1, 3), quantiles=True)
    coarse.update(y)
    for blend in (fine.blended(coarse, 0.5), coarse.blended(fine, 0.5)):
        assert blend.red_dims == (0, 1, 3)
        expected = (x.double().mean((0, 1, 3)) + y.double().mean((0, 1, 3))) / 2
        np.testing.assert_allclose(blend.mean.flatten(), expected, atol=1e-6)


def test_bins_that_nothing_arrived_in_stay_as_they_were():
    x, y = sound(3, 0), sound(3, 1)
    y[:, :, 4] = torch.nan
    options = {"nonfinite": "skip", "quantiles": True}
    old, new = StatsRecorder((0, 1, 3), **options), StatsRecorder((0, 1, 3), **options)
    old.update(x)
    new.update(y)
    blend = old.blended(new, 0.9)
    for name in ("mean", "std", "median", "min", "max"):
        assert getattr(blend, name)[0, 0, 4] == getattr(old, name)[0, 0, 4]
        assert getattr(blend, name)[0, 0, 5] != getattr(old, name)[0, 0, 5] or name in ("min", "max")


@pytest.mark.parametrize("weight", [0, -0.1, 1.1, float("nan")])
def test_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        counted(sound(3, 0)).blended(counted(sound(3, 1)), weight)


# ---- files


@pytest.fixture
def stats(made_up_stats, tmp_path):
    made_up_stats.save(tmp_path / "stats.json")
    return tmp_path / "stats.json"


@pytest.fixture(scope="module")
def made_up_stats(made_up):
    return measure(made_up)


@pytest.fixture(scope="module")
def louder(made_up_stats):
    "Statistics of clips that are 20 dB louder."
    known = made_up_stats
    recorder = StatsRecorder((0, 3), quantiles=True, clips=True, settings=known.settings)
    rng = torch.Generator().manual_seed(0)
    recorder.update(torch.randn(40, 1, 64, 50, generator=rng) * known.std.float() + known.mean.float() + 20)
    return recorder


@pytest.fixture(scope="module")
def saved(made_up, tmp_path_factory):
    "File of a model, for the norm of this name."

    def save(norm):
        file = tmp_path_factory.mktemp("models") / f"{norm}.safetensors"
        dls = get_dls(read_esc50(made_up), made_up, 1, 10, *make_tfms(norm, Recipe()), SAMPLE_RATE, num_workers=0)
        as_pipeline(spec_learner(dls, "xresnet18")).save(file)
        return file

    return save


def test_an_update_keeps_the_files_before_and_says_when(stats, louder, saved):
    model = saved("channel")
    before, weights = stats.read_bytes(), model.read_bytes()
    first = update_stats(stats, louder, 0.5, model)
    second = update_stats(stats, louder, 0.25)
    assert (stats.parent / "stats.1.json").read_bytes() == before
    assert (model.parent / "channel.1.safetensors").read_bytes() == weights
    now = StatsRecorder.load(stats)
    np.testing.assert_allclose(StatsRecorder.load(stats.parent / "stats.2.json").mean, first.after.mean, rtol=1e-12)
    np.testing.assert_allclose(now.mean, second.after.mean, rtol=1e-12)
    log = now.about["updates"]
    assert [(entry["weight"], entry["live clips"], entry["statistics before"]) for entry in log] == [
        (0.5, 40, "stats.1.json"),
        (0.25, 40, "stats.2.json"),
    ]
    assert log[0]["model before"] == "channel.1.safetensors" and log[0]["when"] <= log[1]["when"]
    assert now.about["clips"] == 50  # what it was measured on


def test_a_dry_run_changes_nothing(stats, louder, saved):
    model = saved("channel")
    before, weights = stats.read_bytes(), model.read_bytes()
    update_stats(stats, louder, 0.5, model, dry_run=True)
    assert stats.read_bytes() == before and model.read_bytes() == weights
    assert sorted(p.name for p in stats.parent.iterdir()) == ["stats.json"]


@pytest.mark.parametrize("norm", ["global", "channel", "channel-minmax", "channel-robust"])
def test_a_model_normalizes_by_what_it_was_given(norm, stats, louder, saved):
    "As the transform would that has these statistics."
    model = saved(norm)
    after = update_stats(stats, louder, 0.7, model).after
    [layer] = [layer for layer in SoundClassifier.load(model).front if type(layer).__name__ == "SpecNorm"]
    options = {name: layer.options[name] for name in ("method", "feature_range")}
    norm = SpecNormalize.from_stats(after, layer.options["axes"], **options)
    x = louder.mean.float() + torch.randn(2, 1, 64, 9)
    torch.testing.assert_close(layer(x), norm._normalized(x, None), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_updated_changes_no_file(stats, louder, saved, made_up):
    before = stats.read_bytes()
    for live, model, says in (
        (measure(made_up, spec="linear"), None, "Cannot merge"),
        (louder, saved("none"), "does not normalize by statistics"),
        (louder, saved("local"), "does not normalize by statistics"),
        (stats.parent / "none.json", None, "none.json"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=says):
            update_stats(stats, live, 0.5, model)
    assert stats.read_bytes() == before and [p.name for p in stats.parent.iterdir()] == ["stats.json"]
    linear = measure(made_up, spec="linear")
    with pytest.raises(ValueError, match="spectrograms with hop_length=200 instead of 512"):
        SoundClassifier.load(saved("channel")).renormalize(linear)


def test_drift_ends_where_statistics_have_followed(stats, louder):
    def watched():
        monitor = DriftMonitor(stats)
        monitor.merge(louder)
        return monitor.report()

    level = watched().bins.difference.mean()
    update_stats(stats, louder, 0.9)
    assert abs(watched().bins.difference.mean()) < 0.2 * abs(level)


def test_update_command(stats, louder, saved, tmp_path, capsys):
    louder.save(tmp_path / "live.json")
    command = ["update", str(stats), str(tmp_path / "live.json"), "--out", str(tmp_path / "out")]
    main([*command, "--dry-run"])
    shown = capsys.readouterr().out
    assert "Nothing was changed" in shown and "all bins" in shown and "→" in shown
    assert not (tmp_path / "stats.1.json").exists() and (tmp_path / "out" / "update.png").stat().st_size > 10_000
    main([*command, "--weight", "0.5", "--model", str(saved("global"))])
    shown = capsys.readouterr().out
    assert "Statistics before: stats.1.json" in shown and "Model before: global.1.safetensors" in shown
    assert json.loads(stats.read_text())["content"]["about"]["updates"][0]["weight"] == 0.5
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--weight", "7"])
    assert stopped.value.code == 2 and "at most 1, not 7" in capsys.readouterr().err


def test_the_table_shows_what_normalized_values_become(stats, louder):
    table = update_stats(stats, louder, 1, dry_run=True).table(rows=3)
    assert list(table.columns) == ["mean", "std", "live, normalized", "known, normalized"] and len(table) == 4
    before, after = table["live, normalized"].iloc[-1].split(" → ")
    assert float(before.split(" ± ")[0]) > 0.5 and after == "0.00 ± 1.00"
    assert table["known, normalized"].iloc[-1].startswith("0.00 ± 1.00 → -")
