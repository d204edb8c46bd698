"""`measure` and `measure_files`: statistics of a folder, of a sample of it, and with unusable clips."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
import torch
from fastaudio.core.config import PreprocessAudio

from fastaudio_norm.audio.spectrograms import SPECS
from fastaudio_norm.measure.folder import measure, measure_files
from fastaudio_norm.stats.frequencies import bin_frequencies
from fastaudio_norm.stats.plots import plot_stats, sampling_margins, stats_table
from fastaudio_norm.stats.recorder import StatsRecorder
from fastaudio_norm.transforms import AudioNormalize


def spectrograms(files, spec="mel", wave=False):
    "float64 [bins, frames] of each file."
    prepare, to_spec = PreprocessAudio(sample_rate=16000), SPECS[spec]()
    clips = [prepare(file) for file in files]
    return [to_spec(AudioNormalize()(c) if wave else c)[0].as_subclass(torch.Tensor).double() for c in clips]


def largest_error(found, exact, unit):
    return float(((found.flatten() - exact) / unit).abs().max())


@pytest.mark.parametrize("spec, wave", [("mel", False), ("linear", True)])
def test_statistics_of_a_folder_equal_those_of_all_its_clips_in_float64(made_up, spec, wave):
    recorder = measure(made_up, exclude=[1, 5], spec=spec, wave=wave)
    files = [f for f in (made_up / "audio").iterdir() if f.name[0] in "234"]
    x = torch.cat(spectrograms(files, spec, wave), 1)
    std, mean = torch.std_mean(x, 1)
    assert largest_error(recorder.mean, mean, std) < 1e-6 and largest_error(recorder.std, std, std) < 1e-6
    assert recorder.reduced((0, 1, 2, 3)).std.item() == pytest.approx(x.std().item(), rel=1e-6)
    median = torch.from_numpy(np.quantile(x.numpy(), 0.5, axis=1, method="inverted_cdf"))
    assert ((recorder.median.flatten() - median).abs() <= recorder.quantile_error.flatten()).all()
    about = recorder.about
    assert (about["clips"], about["seconds"], about["excluded folds"]) == (30, 15.0, [1, 5])
    assert about["waveform"] == ("AudioNormalize" if wave else None)


def test_clips_of_an_excluded_fold_do_not_change_the_statistics(made_up, tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").symlink_to(made_up / "meta")
    for file in (made_up / "audio").iterdir():
        samples, sr = soundfile.read(file)
        soundfile.write(tmp_path / "audio" / file.name, samples * (0.01 if file.name.startswith("1-") else 1), sr)
    for exclude, changes in [([1], False), ([2], True)]:
        found = [measure(path, exclude=exclude).mean for path in (made_up, tmp_path)]
        assert torch.equal(*found) != changes


@pytest.mark.parametrize(
    "path, options, message",
    [
        ("none", {}, "No such folder"),
        (".", {}, "No clips"),
        (".", {"folds": [1]}, "No clips"),
        ("made_up", {"folds": [6]}, "No fold 6; the table has"),
        ("made_up", {"folds": [1], "exclude": [1]}, "outside of the excluded folds"),
        ("made_up", {"fraction": 0}, "above 0"),
        ("made_up", {"fraction": 1.5}, "at most 1"),
        ("made_up", {"spec": "cqt"}, "mel, mel-20ms, linear"),
    ],
)
def test_mistakes_are_reported_before_any_file_is_read(path, options, message, made_up, tmp_path, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.measure.folder.check_files", lambda *args: pytest.fail("read"))
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        measure(made_up if path == "made_up" else tmp_path / path, **options)


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "one sample", "nan"])
def test_an_unusable_clip_is_named(kind, made_up, tmp_path):
    bad = tmp_path / "bad clip.wav"
    if kind == "text":
        bad.write_text("hello")
    elif kind == "empty":
        bad.touch()
    elif kind == "cut":
        bad.write_bytes(next((made_up / "audio").iterdir()).read_bytes()[:40])
    else:
        soundfile.write(bad, np.full(1 if kind == "one sample" else 16000, np.nan), 16000, subtype="FLOAT")
    good, threads = sorted((made_up / "audio").iterdir())[:3], torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(ValueError, match="bad clip.wav: "):
            measure_files([*good, bad, *good])
        assert torch.get_num_threads() == 3  # unchanged
    finally:
        torch.set_num_threads(threads)


def test_margins_of_a_quarter_of_the_clips_cover_the_whole(esc10):
    full = measure(esc10, folds=[1, 2])
    truth = full.reduced((0, 1, 2, 3)).mean.item()
    covered = 0
    for seed in range(6):
        sampled = measure(esc10, folds=[1, 2], fraction=0.25, seed=seed)
        assert sampled.about["clips"] == 40 and sampled.about["sample"]["of clips"] == 160
        mean, _ = sampling_margins(sampled)
        covered += abs(sampled.reduced((0, 1, 2, 3)).mean.item() - truth) <= mean[-1]
        assert mean[-1] < 25  # dB; the standard deviation of all values is 30
    assert covered >= 5 and sampling_margins(full) is None


# ---- what plots and tables show of a measured folder


def test_the_loudest_bin_is_at_the_frequency_of_a_tone(tmp_path):
    sr, f = 16000, 3000
    soundfile.write(tmp_path / "tone.wav", np.sin(2 * np.pi * f * np.arange(sr) / sr), sr)
    for spec in SPECS:
        recorder = measure(tmp_path, spec=spec)
        frequencies = bin_frequencies(recorder.settings)
        assert len(frequencies) == recorder.mean.numel()
        loudest = int(recorder.mean.argmax())
        assert abs(frequencies[loudest] - f) <= np.diff(frequencies)[loudest]
    assert bin_frequencies(None) is None and bin_frequencies({"n_fft": 400}) is None


def test_table_and_figure_of_a_sample(made_up):
    recorder = measure(made_up, fraction=0.2)
    total = recorder.reduced((0, 1, 2, 3))
    table = stats_table(recorder, rows=3)
    assert table.index.tolist() == ["all bins", "28 Hz", "1816 Hz", "7669 Hz"]
    assert table.loc["all bins", "mean"].split(" ± ")[0] == f"{total.mean.item():.2f}"
    assert "±" in table.loc["28 Hz", "std"] and "±" not in table.loc["28 Hz", "median"]
    ax = plot_stats(recorder, "title").axes[0]
    assert np.allclose(ax.lines[-1].get_ydata(), recorder.mean.flatten())
    assert ax.get_xlabel() == "frequency (Hz)" and ax.get_ylabel() == "level (dB)"
    unknown = StatsRecorder((0, 3), quantiles=True)
    unknown.update(torch.randn(2, 1, 5, 9))
    assert plot_stats(unknown).axes[0].get_xlabel() == "frequency bin"
    assert stats_table(unknown).index[1] == "bin 0"
    plt.close("all")
