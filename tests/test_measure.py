"""A folder of audio to a file of statistics: alone, sampled, and shared among processes."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
import torch
from fastaudio.core.config import PreprocessAudio

from fastaudio_norm.audio.spectrograms import SPECS
from fastaudio_norm.cli.main import main
from fastaudio_norm.data.sources import find_audio, sample_files
from fastaudio_norm.measure import measure, measure_files
from fastaudio_norm.stats.frequencies import bin_frequencies
from fastaudio_norm.stats.plots import plot_stats, sampling_margins, stats_table
from fastaudio_norm.stats.recorder import StatsRecorder
from fastaudio_norm.stats.sampling import SamplingErrors
from fastaudio_norm.transforms.spectrogram import AudioNormalize


def spectrograms(files, spec="mel", wave=False):
    "float64 [bins, frames] of each file."
    prepare, to_spec = PreprocessAudio(sample_rate=16000), SPECS[spec]()
    clips = [prepare(file) for file in files]
    return [to_spec(AudioNormalize()(c) if wave else c)[0].as_subclass(torch.Tensor).double() for c in clips]


def relative(found, exact, of):
    return float(((found.flatten() - exact) / of).abs().max())


@pytest.mark.parametrize("spec, wave", [("mel", False), ("linear", True)])
def test_a_folder_is_all_its_clips_in_float64(made_up, spec, wave):
    recorder = measure(made_up, exclude=[1, 5], spec=spec, wave=wave)
    files = [f for f in (made_up / "audio").iterdir() if f.name[0] in "234"]
    x = torch.cat(spectrograms(files, spec, wave), 1)
    std, mean = torch.std_mean(x, 1)
    assert relative(recorder.mean, mean, std) < 1e-6 and relative(recorder.std, std, std) < 1e-6
    assert recorder.reduced((0, 1, 2, 3)).std.item() == pytest.approx(x.std().item(), rel=1e-6)
    median = torch.from_numpy(np.quantile(x.numpy(), 0.5, axis=1, method="inverted_cdf"))
    assert ((recorder.median.flatten() - median).abs() <= recorder.quantile_error.flatten()).all()
    about = recorder.about
    assert (about["clips"], about["seconds"], about["excluded folds"]) == (30, 15.0, [1, 5])
    assert about["waveform"] == ("AudioNormalize" if wave else None)


def test_an_excluded_fold_leaves_no_trace(made_up, tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").symlink_to(made_up / "meta")
    for file in (made_up / "audio").iterdir():
        samples, sr = soundfile.read(file)
        soundfile.write(tmp_path / "audio" / file.name, samples * (0.01 if file.name.startswith("1-") else 1), sr)
    for exclude, changes in [([1], False), ([2], True)]:
        found = [measure(path, exclude=exclude).mean for path in (made_up, tmp_path)]
        assert torch.equal(*found) != changes


def test_any_folder_of_audio(made_up, tmp_path):
    deep = tmp_path / "a" / "b c"
    deep.mkdir(parents=True)
    (deep / "notes.txt").write_text("no audio")
    for i, file in enumerate(sorted((made_up / "audio").iterdir())[:3]):
        samples, sr = soundfile.read(file)
        stereo = np.stack([samples, samples], 1) if i == 0 else samples
        soundfile.write([tmp_path, deep][i % 2] / f"{i}.{['wav', 'flac', 'ogg'][i]}", stereo, sr)
    files = find_audio(tmp_path)
    assert [f.name for f in files] == ["0.wav", "2.ogg", "1.flac"]
    assert measure(tmp_path).about["clips"] == 3


@pytest.mark.parametrize(
    "path, options, message",
    [
        ("none", {}, "No such folder"),
        (".", {}, "No clips"),
        (".", {"folds": [1]}, "Folds need"),
        ("made_up", {"folds": [6]}, "No fold 6; the table has"),
        ("made_up", {"folds": [1], "exclude": [1]}, "outside of the excluded folds"),
        ("made_up", {"fraction": 0}, "above 0"),
        ("made_up", {"fraction": 1.5}, "at most 1"),
        ("made_up", {"spec": "cqt"}, "mel or mel-20ms or linear"),
    ],
)
def test_mistakes_are_named_before_any_work(path, options, message, made_up, tmp_path, monkeypatch):
    monkeypatch.setattr("fastaudio_norm.measure.check_files", lambda *args: pytest.fail("read"))
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        measure(made_up if path == "made_up" else tmp_path / path, **options)


@pytest.mark.parametrize("kind", ["text", "empty", "cut", "one sample", "nan"])
def test_a_bad_clip_is_named(kind, made_up, tmp_path):
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
        assert torch.get_num_threads() == 3  # as before
    finally:
        torch.set_num_threads(threads)


# ---- samples


def test_a_sample_is_reproducible_and_of_two_clips_at_least():
    files = list(range(100))
    assert sample_files(files, 0.1, 3) == sample_files(files, 0.1, 3) != sample_files(files, 0.1, 4)
    drawn = sample_files(files, 0.1)
    assert len(set(drawn)) == 10 and drawn == sorted(drawn)
    assert len(sample_files(files, 0.001)) == 2 and sample_files(files, 1) == files


def clips_of_unlike_level(n, bins=3):
    "Clips [1, 1, bins, frames]: each has a level and a width of its own, and frames that resemble each other."
    widths, levels = torch.randint(5, 60, (n,)).tolist(), torch.randn(n, 1, 1, bins, 1) * 10 + 1e3
    return [level + torch.randn(1, 1, bins, width) for level, width in zip(levels, widths)]


def test_standard_errors_tell_how_far_samples_are_off():
    clips = clips_of_unlike_level(400)
    full = StatsRecorder((0, 3))
    for clip in clips:
        full.update(clip)
    off, stated = [], []
    for seed in range(200):
        sample, errors = StatsRecorder((0, 3)), SamplingErrors()
        for clip in sample_files(clips, 0.2, seed):
            sample.update(clip)
            errors.update(clip)
        off.append([(getattr(sample, name) - getattr(full, name)).flatten().numpy() for name in ("mean", "std")])
        stated.append([s[:-1] for s in errors.standard_errors(sample, 0.2)])
    spread, told = np.std(off, 0), np.mean(stated, 0)
    assert np.abs(told / spread - 1).max() < 0.2


def test_standard_errors_of_parts_add_up():
    clips = clips_of_unlike_level(30)
    recorder, whole, parts = StatsRecorder((0, 3)), SamplingErrors(), [SamplingErrors() for _ in range(4)]
    for i, clip in enumerate(clips):
        recorder.update(clip)
        whole.update(clip)
        parts[i % 3].update(clip)  # the fourth has none
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


def test_the_whole_has_no_error():
    clips = clips_of_unlike_level(5)
    recorder, errors = StatsRecorder((0, 3)), SamplingErrors()
    for clip in clips:
        recorder.update(clip)
        errors.update(clip)
    assert all((e == 0).all() for e in errors.standard_errors(recorder, 1.0))


def test_a_tenth_of_esc10_covers_the_whole(esc10):
    full = measure(esc10)
    truth = full.reduced((0, 1, 2, 3)).mean.item()
    covered = 0
    for seed in range(6):
        sampled = measure(esc10, fraction=0.1, seed=seed)
        assert sampled.about["clips"] == 40 and sampled.about["sample"]["of clips"] == 400
        mean, _ = sampling_margins(sampled)
        covered += abs(sampled.reduced((0, 1, 2, 3)).mean.item() - truth) <= mean[-1]
        assert mean[-1] < 25  # dB; the level of all values spreads by 30
    assert covered >= 5 and sampling_margins(full) is None


# ---- to look at


def test_frequencies_are_where_the_sound_is(tmp_path):
    sr, f = 16000, 3000
    soundfile.write(tmp_path / "tone.wav", np.sin(2 * np.pi * f * np.arange(sr) / sr), sr)
    for spec in SPECS:
        recorder = measure(tmp_path, spec=spec)
        frequencies = bin_frequencies(recorder.settings)
        assert len(frequencies) == recorder.mean.numel()
        loudest = int(recorder.mean.argmax())
        assert abs(frequencies[loudest] - f) <= np.diff(frequencies)[loudest]
    assert bin_frequencies(None) is None and bin_frequencies({"n_fft": 400}) is None


def test_table_and_picture(made_up):
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


# ---- the command line, in one process and in several


def test_stats_command(made_up, tmp_path, capsys):
    main(["stats", str(made_up), "--folds", "2", "3", "--spec", "linear", "--fraction", "0.5", "--out", str(tmp_path)])
    recorder = StatsRecorder.load(tmp_path / "stats.json")
    assert recorder.about["clips"] == 10 and recorder.about["folds"] == [2, 3] and recorder.mean.shape[2] == 201
    assert recorder.settings["n_fft"] == 400 and recorder.settings["sr"] == 16000
    assert plt.imread(tmp_path / "stats.png").std() > 0
    printed = capsys.readouterr()
    assert "from_stats" in printed.out and "three standard errors" in printed.out and "linear" in printed.out
    assert "Measuring clips" in printed.err
    plt.close("all")


@pytest.mark.parametrize(
    "arguments, message",
    [(["none"], "No such folder"), ([".", "--folds", "1"], "Folds need"), ([".", "--fraction", "2"], "No clips")],
)
def test_mistakes_end_in_one_line_and_status_2(arguments, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["stats", str(tmp_path / arguments[0]), *arguments[1:], "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(rank, world, port, *arguments, script=None):
    env = {
        **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "MPLBACKEND": "agg",
    }  # fmt: skip
    script = script or "import sys; from fastaudio_norm.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_same_file(a, b):
    a, b = StatsRecorder.load(a), StatsRecorder.load(b)
    assert torch.equal(a.count, b.count) and a.about == b.about and a.settings == b.settings
    assert ((a.mean - b.mean).abs() / b.std).max() < 1e-12 and (a.std / b.std - 1).abs().max() < 1e-12
    for name in ("min", "max", "median", "iqr"):
        assert torch.equal(getattr(a, name), getattr(b, name))


def test_processes_share_the_work(made_up, tmp_path):
    (tmp_path / "clips").mkdir()
    [file, *_] = sorted((made_up / "audio").iterdir())  # none is left for the second process
    (tmp_path / "clips" / file.name).symlink_to(file)
    arguments, port = ["stats", tmp_path / "clips", "--out"], free_port()
    ranks = [start(r, 2, port, *arguments, tmp_path / "several") for r in range(2)]
    printed = [(rank.communicate(timeout=240), rank.returncode) for rank in ranks]
    assert [code for _, code in printed] == [0, 0], printed
    ours = [re.sub(r"(?m)^\[Gloo\].*\n?", "", out) for (out, _), _ in printed]  # torch 2.9 prints, too
    assert [bool(out) for out in ours] == [True, False]
    main([*map(str, arguments), str(tmp_path / "one")])
    assert_same_file(tmp_path / "several" / "stats.json", tmp_path / "one" / "stats.json")
    plt.close("all")


DIES = """
import os, signal, sys
from fastaudio_norm import measure
from fastaudio_norm.cli.main import main
if os.environ["RANK"] == "1":
    add, seen = measure.Measurement.add, []
    def dying(self, *clip):
        seen.append(clip)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        add(self, *clip)
    measure.Measurement.add = dying
main(sys.argv[1:])
"""


def test_a_process_that_dies_ends_the_others_with_an_error(made_up, tmp_path):
    port, began = free_port(), time.monotonic()
    arguments = ["stats", made_up, "--timeout", "60", "--out", tmp_path / "out"]
    first, second = (start(r, 2, port, *arguments, script=DIES) for r in (0, 1))
    _, error = first.communicate(timeout=240)
    assert second.wait() == -signal.SIGKILL
    assert first.returncode == 2 and "Another process ended early" in error.splitlines()[-1]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["stats.part.json.0"]  # which it goes on from
    assert time.monotonic() - began < 240  # no hang


LINEAR = {"mel": False, "sr": 16000, "n_fft": 400}
MEL = {**LINEAR, "mel": True, "n_mels": 8, "f_min": 0.0, "f_max": None, "sample_rate": 16000, "mel_scale": "htk"}
GAMMATONE = {"filters": "gammatone", "f_min": 50.0, "f_max": 8000, "n_filters": 8}


@pytest.mark.parametrize(
    "settings, changes",
    [
        (LINEAR, {"n_fft": [10**15, 0, False, "many"], "sr": [0, -1, "x", 10**400]}),
        (MEL, {"n_fft": [10**15], "n_mels": [-4, 1.5, 10**15], "sample_rate": [None, 10**400], "f_max": ["x"]}),
        (GAMMATONE, {"n_filters": [10**15, -1, 1.5, None], "f_min": [-1e9, "x"], "f_max": [10**400]}),
    ],
)
def test_settings_of_no_spectrogram_have_no_frequencies(settings, changes):
    assert np.isfinite(bin_frequencies(settings)).all()
    for name, values in changes.items():
        for value in values:
            with pytest.raises(ValueError, match="No spectrogram"):
                bin_frequencies({**settings, name: value})
