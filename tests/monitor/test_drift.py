"""What is known of clips, and a monitor of what arrives."""

import json
import re

import numpy as np
import pytest
import scipy.signal
import soundfile
import torch
from fastaudio.core.spectrogram import AudioSpectrogram
from hypothesis import given, settings
from hypothesis import strategies as st

from fastaudio_norm.audio.spectrograms import SPECS, spec_settings
from fastaudio_norm.cli.main import main
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.measure import measure
from fastaudio_norm.monitor.drift import DriftCallback, DriftMonitor
from fastaudio_norm.stats.clip_features import N_BANDS, ClipFeatures
from fastaudio_norm.stats.moments import as_rows, row_moments
from fastaudio_norm.stats.recorder import StatsRecorder
from fastaudio_norm.storage import read_json, write_json
from fastaudio_norm.train.learner import spec_learner
from fastaudio_norm.transforms.spectrogram import AudioNormalize, SpecNormalize

SETTINGS = {"mel": False, "to_db": True, "sr": 16000, "n_fft": 126, "hop_length": 63, "win_length": 126}
HZ = np.linspace(0, 8000, 64)


def clips(n, seed, gain=0.0):
    "Spectrograms in dB [n, 1, 64, 40]; each clip has a level, a tilt and a spread of its own."
    rng = torch.Generator().manual_seed(seed)
    level = torch.randn(n, 1, 1, 1, generator=rng) * 8 - 30
    tilt = torch.randn(n, 1, 1, 1, generator=rng) * 6 * torch.linspace(-1, 1, 64)[:, None]
    spread = torch.rand(n, 1, 1, 1, generator=rng) * 6 + 3
    x = level + tilt + spread * torch.randn(n, 1, 64, 40, generator=rng)
    x = x - x.amax((1, 2, 3), keepdim=True) + torch.randn(n, 1, 1, 1, generator=rng) * 2 + gain
    return x


def spec(x, **settings):
    return AudioSpectrogram.create(x, settings={**SETTINGS, **settings})


def update(recorder, x):
    recorder.update(x, settings=spec_settings(x))


def known(n=240, seed=0, **options):
    recorder = StatsRecorder((0, 1, 3), quantiles=True, clips=True, **options)
    update(recorder, spec(clips(n, seed)))
    return recorder


@pytest.fixture(scope="module")
def reference():
    return known()


def report(reference, x, **options):
    monitor = DriftMonitor(reference, **options)
    monitor.update(spec(x))
    return monitor.report()


# ---- how clips differ


def rows_of(x):
    "Moments of the rows of each clip."
    rows, lengths, shape = as_rows(x, (0, 3))
    return row_moments(rows, lengths, extremes=True, each_item=True).reshaped((-1, *shape[1:]))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 40), st.integers(2, 40), st.data())
def test_however_clips_are_divided_what_is_known_is_the_same(n, bins, data):
    x = torch.randn(n, 2, bins, 7, generator=torch.Generator().manual_seed(n)) * 5 - 40
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=3)))
    whole, parts = ClipFeatures(bins), ClipFeatures(bins)
    whole.update(rows_of(x))
    for start, end in zip([0, *cuts], [*cuts, n]):
        part = ClipFeatures(bins)
        part.update(rows_of(x[start:end]))
        parts.merge(part)
    np.testing.assert_allclose(parts.features.mean, whole.features.mean, rtol=1e-9)
    np.testing.assert_allclose(parts.features.m2, whole.features.m2, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(parts.bins.m2, whole.bins.m2, rtol=1e-7, atol=1e-7)
    assert parts.bins.n == n


def test_features_are_what_they_are_called():
    x = clips(50, 3).double()
    found = ClipFeatures(64)
    found.update(rows_of(x))
    level, peak = x.mean((1, 2, 3)), x.amax((1, 2, 3))
    bands = x.unflatten(2, (N_BANDS, 4))
    shape = bands.mean((1, 3, 4)) - level[:, None]
    spread = x.var((1, 3), correction=0).unflatten(1, (N_BANDS, 4)).mean(2).sqrt().log1p()
    features = torch.cat([torch.stack([level, peak], 1), shape[:, :-1], spread], 1).numpy()
    np.testing.assert_allclose(found.features.mean, features.mean(0), rtol=1e-9)
    np.testing.assert_allclose(found.features.covariance, np.cov(features.T), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.bins.covariance, x.mean(3)[:, 0].numpy().var(0, ddof=1), rtol=1e-9)
    assert {name: part.stop - part.start for name, part in found.groups.items()} == {
        "level": 2,
        "shape": 15,
        "spread": 16,
    }


def test_a_recorder_keeps_and_merges_what_is_known_of_clips(tmp_path):
    x, whole, first, second = (
        clips(30, 1),
        known(30, 1),
        *(StatsRecorder((0, 1, 3), quantiles=True, clips=True) for _ in "ab"),
    )
    update(first, spec(x[:11]))
    first.save(tmp_path / "first.json")
    first = StatsRecorder.load(tmp_path / "first.json")
    update(second, spec(x[11:]))
    first.merge(second)
    np.testing.assert_allclose(first.clips.features.m2, whole.clips.features.m2, rtol=1e-9, atol=1e-9)
    assert first.reduced((0, 1, 2, 3)).clips.bins.n == 30
    with pytest.raises(ValueError, match="has not kept how clips differ"):
        first.merge(StatsRecorder((0, 1, 3), quantiles=True))
    with pytest.raises(ValueError, match="batch, channel, frequency, time"):
        StatsRecorder((0, 3), clips=True).update(torch.zeros(2, 3, 4, 5, 6))
    with pytest.raises(ValueError, match="dimensions 0 and 3"):
        StatsRecorder((0, 2), clips=True)


def test_padding_is_no_part_of_a_clip():
    x, lengths = clips(7, 2), torch.tensor([40, 7, 40, 0, 13, 1, 25])
    padded, alone = StatsRecorder((0, 1, 3), clips=True), StatsRecorder((0, 1, 3), clips=True)
    for clip, length in zip(x, lengths):
        alone.update(clip[None, ..., :length])
        clip[..., length:] = -100.0
    padded.update(x, lengths=lengths)
    assert padded.clips.bins.n == 6
    np.testing.assert_allclose(padded.clips.features.m2, alone.clips.features.m2, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("change", ["n", "size", "negative", "nan"])
def test_damaged_files_are_refused(change, tmp_path, reference):
    content = ClipFeatures.to_dict(reference.clips)
    content = json.loads(json.dumps(content))
    if change == "n":
        content["n"] = -1
    elif change == "size":
        content["features"][0].pop()
    else:
        content["bins"][1][0] = -1.0 if change == "negative" else float("nan")
    with pytest.raises(ValueError):
        ClipFeatures.from_dict(content)


# ---- alarms


def test_alarms_are_as_rare_as_they_shall_be(reference):
    false = sum(report(reference, clips(20, 1000 + seed)).alarm for seed in range(100))
    assert false <= 12  # 5 % of 100; more than 12 once in 400 times


def changed(x, change):
    if change == "low-pass":
        return x - torch.from_numpy(np.maximum(0, HZ - 4000) / 40).float()[:, None]
    if change == "high-pass":
        return x - torch.from_numpy(np.maximum(0, 1000 - HZ) / 20).float()[:, None]
    if change == "hum":
        x = x.clone()
        x[:, :, 8] = x[:, :, 8].maximum(torch.tensor(8.0))
        return x
    if change == "noise":
        return 10 * torch.log10(10 ** (x / 10) + 10 ** ((x.amax((1, 2, 3), keepdim=True) - 15) / 10))
    return x + change


@pytest.mark.parametrize(
    "change, words",
    [
        (9.0, "level up 9 dB"),
        (-9.0, "level down 9 dB"),
        ("low-pass", "everything above 4."),
        ("high-pass", "everything below"),
        ("hum", "hum at 1.0 kHz"),
        ("noise", "background noise"),
    ],
)
def test_the_words_say_what_has_changed(change, words, reference):
    right = 0
    for seed in range(20):
        drift = report(reference, changed(clips(20, 500 + seed), change))
        said = "; ".join(drift.words)
        close = [f"level {way} {n} dB" for way in ("up", "down") for n in (7, 8, 9, 10, 11) if way in words]
        right += drift.alarm and (said in close if isinstance(change, float) else words in said)
    assert right >= 19


def test_old_clips_are_forgotten(reference):
    monitor = DriftMonitor(reference, window=40)
    for seed in range(6):
        monitor.update(spec(clips(10, seed + 50, gain=12.0)))
    assert monitor.report().alarm and monitor.live.clips.bins.n <= 50
    for seed in range(6):
        monitor.update(spec(clips(10, seed + 80)))
    assert not monitor.report().alarm and len(monitor.blocks) <= 5


def test_monitors_add_up(reference, tmp_path):
    x, whole, first, second = clips(30, 7), *(DriftMonitor(reference) for _ in range(3))
    whole.update(spec(x))
    first.update(spec(x[:12]))
    second.update(spec(x[12:]))
    first.live.save(tmp_path / "first.json")
    second.merge(StatsRecorder.load(tmp_path / "first.json"))
    np.testing.assert_allclose(second.report().tests.p, whole.report().tests.p, rtol=1e-6)
    np.testing.assert_allclose(second.report().bins["live std"], whole.report().bins["live std"], rtol=1e-9)


def test_bins_tell_differences_in_units_of_clips(reference):
    bins = report(reference, clips(200, 9) + 3.0).bins
    own = clips(200, 9).mean((1, 3)) + 3.0
    expected = own.mean(0).numpy() - reference.clips.bins.mean
    np.testing.assert_allclose(bins.difference, expected, atol=1e-4)
    np.testing.assert_allclose(bins.standardized, expected / np.sqrt(reference.clips.bins.covariance), rtol=1e-4)
    assert (bins.distance > 0).all() and (bins.distance < 1).all() and np.allclose(bins.frequency, HZ)


def test_statistics_and_clips_that_do_not_fit(reference):
    with pytest.raises(ValueError, match="does not tell how clips differ"):
        DriftMonitor(StatsRecorder((0, 1, 3), quantiles=True))
    with pytest.raises(ValueError, match="20 clips are too few"):
        DriftMonitor(known(20))
    with pytest.raises(ValueError, match="4 clips or more"):
        DriftMonitor(reference, window=1)
    monitor = DriftMonitor(reference)
    with pytest.raises(ValueError, match="less than two clips"):
        monitor.report()
    with pytest.raises(ValueError, match="n_fft=512 instead of 126"):
        monitor.update(spec(clips(2, 0), n_fft=512))
    with pytest.raises(ValueError, match="not finite"):
        monitor.update(spec(torch.full((2, 1, 64, 40), torch.nan)))
    assert "0 clips seen, 240 known" in repr(monitor)


def test_silence_and_constant_clips(reference):
    "Are drift, and not an error."
    drift = report(reference, torch.full((20, 1, 64, 40), -100.0))
    assert drift.alarm and np.isfinite(drift.tests.p).all()
    silent = StatsRecorder((0, 1, 3), quantiles=True, clips=True)
    update(silent, spec(torch.full((60, 1, 64, 40), -100.0)))
    assert report(silent, clips(20, 0)).alarm and not report(silent, torch.full((20, 1, 64, 40), -100.0)).alarm


def test_drift_command(made_up, tmp_path, capsys):
    main(["stats", str(made_up), "--out", str(tmp_path)])
    stats = str(tmp_path / "stats.json")
    main(["drift", stats, str(made_up), "--out", str(tmp_path / "same")])
    assert "50 clips: as those that were measured" in capsys.readouterr().out
    (tmp_path / "muffled").mkdir()
    low = scipy.signal.butter(8, 4000, fs=44100, output="sos")
    for file in (made_up / "audio").iterdir():
        samples, sr = soundfile.read(file)
        soundfile.write(tmp_path / "muffled" / file.name, scipy.signal.sosfilt(low, samples), sr)
    with pytest.raises(SystemExit) as stopped:
        main(["drift", stats, str(tmp_path / "muffled"), "--out", str(tmp_path / "muffled")])
    assert stopped.value.code == 1 and "everything above" in capsys.readouterr().out
    assert StatsRecorder.load(tmp_path / "muffled" / "live.json").clips.bins.n == 50
    assert (tmp_path / "muffled" / "drift.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda c: c["settings"].update(n_fft=10**15), "spectrograms have"),
        (lambda c: c["settings"].update(n_fft="many"), "spectrograms have"),
        (lambda c: c["settings"].update(n_mels=-3), "spectrograms have"),
        (lambda c: c["about"].update(spectrogram="../../etc/passwd"), "Unknown spectrogram"),
        (lambda c: c["about"].update(spectrogram=["mel"]), "Unknown spectrogram"),
        (lambda c: c["about"].pop("spectrogram"), "does not tell its spectrogram"),
        (lambda c: c["clips"]["bins"].__setitem__(slice(None), [[0.0], [1.0]]), "does not hold"),
        (lambda c: c["clips"].update(n=10**40), "a count of clips is none"),
        (lambda c: c["clips"]["features"][1].pop(), "does not hold"),
        (lambda c: c.pop("clips"), "does not tell how clips differ"),
    ],
)
def test_hostile_statistics_are_refused(change, says, made_up, tmp_path, capsys):
    main(["stats", str(made_up), "--out", str(tmp_path)])
    content = read_json(tmp_path / "stats.json", "statistics", 1)
    change(content)
    write_json(tmp_path / "stats.json", "statistics", 1, content)
    with pytest.raises(SystemExit) as stopped:
        main(["drift", str(tmp_path / "stats.json"), str(made_up), "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and re.search(says, capsys.readouterr().err)


def test_the_picture(reference):
    monitor = DriftMonitor(reference)
    monitor.update(spec(clips(20, 0) + 20))
    top, bottom = monitor.show().axes
    assert "level up 20 dB" in top.get_title() and bottom.get_xlabel() == "frequency (Hz)"
    assert str(monitor.report()).startswith("20 clips: level up 20 dB")


# ---- a Learner that is watched


def watched(path, monitor, item_tfms=(), batch_tfms=None):
    batch_tfms = [SPECS["mel"](), SpecNormalize(axes=(0, 1, 3))] if batch_tfms is None else batch_tfms
    dls = get_dls(read_esc50(path), path, 1, 8, list(item_tfms), batch_tfms, num_workers=0)
    return spec_learner(dls, cbs=DriftCallback(monitor))


def made_quiet(path, folder, gain):
    folder.mkdir()
    for file in (path / "audio").iterdir():
        samples, sr = soundfile.read(file)
        soundfile.write(folder / file.name, gain * samples, sr, subtype="FLOAT")
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def measured(made_up):
    return measure(made_up)


@pytest.mark.filterwarnings("error")
def test_a_learner_shows_the_monitor_what_spectrograms_were_before_they_were_normalized(made_up, measured, tmp_path):
    monitor = DriftMonitor(measured)
    learn = watched(made_up, monitor)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
        assert monitor.clips == 0  # the same clips each epoch tell nothing new
        learn.get_preds(dl=learn.dls.test_dl(made_quiet(made_up, tmp_path / "same", 1.0)))
        assert monitor.clips == 50
        np.testing.assert_allclose(monitor.live.mean, measured.mean, atol=1e-3)
        with pytest.warns(UserWarning, match="100 clips: level down"):
            learn.get_preds(dl=learn.dls.test_dl(made_quiet(made_up, tmp_path / "quiet", 0.01)))


def test_a_learner_whose_normalization_cannot_be_undone(made_up, measured):
    monitor = DriftMonitor(measured)
    for item_tfms, batch_tfms, says in (
        ([], [SPECS["mel"](), SpecNormalize(axes=(3,))], "cannot be told"),
        ([AudioNormalize()], None, "by nothing"),
    ):
        learn = watched(made_up, monitor, item_tfms, batch_tfms)
        with pytest.raises(ValueError, match=says), learn.no_bar():
            learn.validate()
    assert monitor.clips == 0
