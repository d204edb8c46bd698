"""Updates of files of statistics and of models: backups, log, refusals."""

import numpy as np
import pytest
import soundfile
import torch
from drift_support import louder_statistics, save_model
from fastai.torch_core import TensorImageBase

from fastaudio_norm.measure import measure
from fastaudio_norm.monitor import DriftMonitor, measure_live, update_stats
from fastaudio_norm.serve import SoundClassifier
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.transforms import SpecNormalize


@pytest.fixture
def stats(measured, tmp_path):
    "File of statistics."
    measured.save(tmp_path / "stats.json")
    return tmp_path / "stats.json"


@pytest.fixture(scope="module")
def saved(made_up, tmp_path_factory):
    "Function that saves a model with this normalization and returns its file."
    return lambda norm: save_model(made_up, norm, tmp_path_factory.mktemp("models") / f"{norm}.safetensors")


def test_an_update_backs_up_the_old_files_and_logs_itself(stats, louder, saved):
    model = saved("channel")
    before, weights = stats.read_bytes(), model.read_bytes()
    first = update_stats(stats, louder, 0.5, model)
    second = update_stats(stats, louder_statistics(first.after), 0.25)
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
    assert now.about["clips"] == 50  # of the original measurement


def test_the_same_live_statistics_are_blended_in_once(stats, louder, tmp_path):
    louder.save(tmp_path / "live.json")
    before = update_stats(stats, louder, 0.5).after
    for live in (louder, tmp_path / "live.json"):
        with pytest.raises(ValueError, match="already blended in on 20.*measure new clips"):
            update_stats(stats, live, 0.5)
    np.testing.assert_array_equal(StatsRecorder.load(stats).mean, before.mean)
    (stats.parent / "stats.1.json").replace(stats)  # undo the update
    np.testing.assert_allclose(update_stats(stats, louder, 0.5).after.mean, before.mean, rtol=1e-12)


def test_a_dry_run_changes_no_file(stats, louder, saved):
    model = saved("channel")
    before, weights = stats.read_bytes(), model.read_bytes()
    update_stats(stats, louder, 0.5, model, dry_run=True)
    assert stats.read_bytes() == before and model.read_bytes() == weights
    assert sorted(p.name for p in stats.parent.iterdir()) == ["stats.json"]


@pytest.mark.parametrize("norm", ["global", "channel", "channel-minmax", "channel-robust"])
def test_an_updated_model_normalizes_like_the_transform_with_the_same_statistics(norm, stats, louder, saved):
    model = saved(norm)
    after = update_stats(stats, louder, 0.7, model).after
    [layer] = [layer for layer in SoundClassifier.load(model).front if type(layer).__name__ == "SpecNorm"]
    options = {name: layer.options[name] for name in ("method", "feature_range")}
    transform = SpecNormalize.from_stats(after, layer.options["axes"], **options)
    x = louder.mean.float() + torch.randn(2, 1, 64, 9)
    expected = transform(TensorImageBase(x)).as_subclass(torch.Tensor)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


def test_a_refused_update_changes_no_file(stats, louder, saved, made_up):
    before = stats.read_bytes()
    for live, model, message in (
        (measure(made_up, spec="linear"), None, "Cannot merge"),
        (louder, saved("none"), "does not normalize by statistics"),
        (louder, saved("local"), "does not normalize by statistics"),
        (stats.parent / "none.json", None, "none.json"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            update_stats(stats, live, 0.5, model)
    assert stats.read_bytes() == before and [p.name for p in stats.parent.iterdir()] == ["stats.json"]
    linear = measure(made_up, spec="linear")
    with pytest.raises(ValueError, match="spectrograms with hop_length=200 instead of 512"):
        SoundClassifier.load(saved("channel")).renormalize(linear)


def test_a_log_of_updates_that_is_not_a_list_is_refused(measured, louder, tmp_path):
    damaged = measured.reduced((0, 1, 3))
    damaged.about = {"updates": "yesterday"}
    damaged.save(tmp_path / "stats.json")
    with pytest.raises(ValueError, match=r"`about\['updates'\]` must be a list, got 'yesterday'"):
        update_stats(tmp_path / "stats.json", louder)


def test_drift_disappears_after_an_update(stats, louder):
    def difference():
        monitor = DriftMonitor(stats)
        monitor.merge(louder)
        return monitor.report().bins.difference.mean()

    before = difference()
    update_stats(stats, louder, 0.9)
    assert abs(difference()) < 0.2 * abs(before)


def test_the_table_shows_normalized_values_before_and_after(stats, louder):
    table = update_stats(stats, louder, 1, dry_run=True).table(rows=3)
    assert list(table.columns) == ["mean", "std", "live, normalized", "known, normalized"] and len(table) == 4
    before, after = table["live, normalized"].iloc[-1].split(" → ")
    assert float(before.split(" ± ")[0]) > 0.5 and after == "0.00 ± 1.00"
    assert table["known, normalized"].iloc[-1].startswith("0.00 ± 1.00 → -")


@pytest.fixture(scope="module")
def arrived(made_up, measured):
    "Live clips: the files of two folds."
    return measure_live(sorted((made_up / "audio").glob("[12]-*")), measured)


@pytest.fixture(scope="module")
def plain(saved):
    return saved("none")


def changed_layers(before, after):
    "Names of the buffers and parameters that differ, without their modules."
    before, after = (SoundClassifier.load(file).state_dict() for file in (before, after))
    same = {name for name in before if torch.equal(before[name], after[name])}
    return {name.rpartition(".")[2] for name in after if name not in same}


@pytest.mark.parametrize("adapt", ["batchnorm", "bands"])
def test_other_methods_change_the_model_and_the_statistics(adapt, stats, arrived, plain, tmp_path):
    model, before = tmp_path / "none.safetensors", stats.read_bytes()
    model.write_bytes(plain.read_bytes())
    update = update_stats(stats, arrived, 0.5, model, adapt=adapt)
    expected = {"batchnorm": {"running_mean", "running_var"}, "bands": {"offset", "scale"}}
    assert changed_layers(plain, model) == expected[adapt]
    assert (tmp_path / "stats.1.json").read_bytes() == before
    assert (tmp_path / "none.1.safetensors").read_bytes() == plain.read_bytes()
    [entry] = StatsRecorder.load(stats).about["updates"]
    assert entry["adapt"] == adapt and entry["live clips"] == len(arrived.files)
    np.testing.assert_allclose(update.after.mean, 0.5 * update.before.mean + 0.5 * update.live.mean, rtol=1e-9)
    with pytest.raises(ValueError, match="already blended in"):
        update_stats(stats, arrived, 0.5, model, adapt=adapt)
    with pytest.raises(ValueError, match=f"adapted the model by {adapt}: .* restore the backups"):
        update_stats(stats, louder_statistics(update.before), model=model)


def test_a_folder_is_measured_like_drift_measures_it(stats, arrived, measured, made_up, tmp_path):
    monitor = DriftMonitor(measured)
    monitor.merge(arrived.recorder.reduced(measured.red_dims))
    live = tmp_path / "live"
    live.mkdir()
    for file in arrived.files:
        (live / file.name).symlink_to(file)
    (live / "bad.wav").write_bytes(b"no audio")
    with pytest.raises(ValueError, match="bad.wav"):
        update_stats(stats, live)
    assert [*update_stats(stats, live, on_error="skip").live.about["skipped"]] == [str(live / "bad.wav")]
    with pytest.raises(ValueError, match="already blended in"):
        update_stats(stats, monitor.live)


def test_silent_live_clips_count_unless_all_are_silent(stats, made_up, tmp_path):
    live = tmp_path / "live"
    live.mkdir()
    soundfile.write(live / "silent.wav", np.zeros(8000), 16000)
    with pytest.raises(ValueError, match="All live clips are silent"):
        update_stats(stats, live)
    (live / "sound.wav").symlink_to(next((made_up / "audio").iterdir()))
    update_stats(stats, live)
    assert StatsRecorder.load(stats).about["updates"][0]["live clips"] == 2


def test_a_model_that_is_not_accepted_stays(stats, arrived, plain, tmp_path):
    model, seen = tmp_path / "none.safetensors", []
    model.write_bytes(plain.read_bytes())
    before = stats.read_bytes()

    def accept(old, new):
        seen.append([sum(t.double().sum() for t in m.state_dict().values()) for m in (old, new)])
        return False

    update_stats(stats, arrived, 0.5, model, adapt="batchnorm", accept=accept)
    assert stats.read_bytes() == before and model.read_bytes() == plain.read_bytes()
    assert len(seen) == 1 and seen[0][0] != seen[0][1]


def test_methods_that_cannot_work_are_refused(stats, louder, plain, tmp_path):
    before, export = stats.read_bytes(), tmp_path / "model.onnx"
    export.write_bytes(b"")
    for options, message in (
        ({"adapt": "tent"}, "`adapt` must be one of statistics, batchnorm, bands, got 'tent'"),
        ({"adapt": "bands"}, "bands needs a model to adapt"),
        ({"accept": lambda *_: True}, "`accept` needs a model"),
        ({"adapt": "batchnorm", "model": plain}, "pass the folder of live clips, not statistics"),
        ({"adapt": "bands", "model": export}, "is an export, which cannot be changed: update the .safetensors"),
    ):
        with pytest.raises(ValueError, match=message):
            update_stats(stats, louder, **options)
    assert stats.read_bytes() == before
