"""A tone appears at its frequency in every plot: the y coordinate, or the x coordinate of plots over frequency."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import soundfile
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastaudio.augment.spectrogram import TfmResizeGPU
from fastaudio.core.config import AudioBlock, AudioConfig
from fastaudio.core.signal import AudioTensor, get_audio_files
from fastaudio.core.spectrogram import AudioToSpec

from fastaudio_norm.audio import SPECS, gammatone_spec, spec_settings
from fastaudio_norm.monitor.drift import detect_drift
from fastaudio_norm.monitor.update import StatsUpdate
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.stats.plots import plot_stats
from fastaudio_norm.transforms import SpecNormalize, show_normalizations

TONES = (100, 400, 1000, 4000)  # Hz
each_tone = pytest.mark.parametrize("tone", TONES)


def mel(**settings):
    return AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(**{"n_fft": 2048, "n_mels": 64, **settings}))


TRANSFORMS = {
    "HTK": mel,
    "Slaney": lambda: mel(mel_scale="slaney", norm="slaney"),
    "band edges": lambda: mel(f_min=60.0, f_max=5000.0),
    "other rate": lambda: mel(sample_rate=22050),  # filters for 22.05 kHz, clips at 16 kHz
    "voice": lambda: AudioToSpec.from_cfg(AudioConfig.Voice()),
    "linear": lambda: AudioToSpec.from_cfg(AudioConfig.BasicSpectrogram(n_fft=2048)),
    "gammatone": lambda: gammatone_spec(n_fft=2048),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def tone_clip(tone, channels=1, seconds=1.0):
    t = torch.arange(int(16000 * seconds)) / 16000
    return AudioTensor(0.5 * torch.sin(2 * torch.pi * tone * t).repeat(channels, 1), sr=16000)


def brightest_row(mesh):
    "Edges of the row of a spectrogram plot that has the largest mean, in Hz."
    values = np.asarray(mesh.get_array()).reshape(mesh.get_coordinates()[1:, 1:].shape[:2])
    row = values.mean(1).argmax()
    return mesh.get_coordinates()[row : row + 2, 0, 1]


def assert_at(tone, mesh):
    "The row with the maximum, or one beside it, contains the tone: filters overlap."
    low, high = brightest_row(mesh)
    width = high - low
    assert low - width / 2 <= tone <= high + width / 2, (tone, low, high)


@each_tone
@pytest.mark.parametrize("name", TRANSFORMS)
def test_show_draws_a_tone_at_its_frequency_in_all_channels(name, tone):
    ax = TRANSFORMS[name]()(tone_clip(tone, channels=2)).show()
    left, right = ax.child_axes
    for part in (left, right):
        assert_at(tone, part.collections[0])
        assert part.get_ylim() == left.get_ylim() and part.get_yscale() == left.get_yscale()


@pytest.mark.parametrize(
    "batch_tfms", [[], [SpecNormalize()], [TfmResizeGPU((224, 100))]], ids=["dB", "norm", "resized"]
)
@pytest.mark.parametrize("mono", [True, False], ids=["mono", "stereo"])
def test_show_batch_draws_tones_at_their_frequencies(tmp_path, mono, batch_tfms):
    for tone in TONES:
        soundfile.write(tmp_path / f"{tone}.wav", tone_clip(tone, channels=2).numpy().T, 16000)
    data = DataBlock(
        (AudioBlock(force_mono=mono), CategoryBlock),
        get_items=get_audio_files,
        get_y=lambda file: file.stem,
        batch_tfms=[mel(), *batch_tfms],
        splitter=lambda items: (range(len(items)), [0]),
    )
    data.dataloaders(tmp_path, bs=4, num_workers=0).show_batch()
    shown = {ax.get_title(): ax.child_axes for ax in plt.gcf().axes if ax.child_axes}
    assert set(shown) == set(map(str, TONES))
    for tone, parts in shown.items():
        assert len(parts) == (1 if mono else 2)
        for part in parts:
            assert_at(int(tone), part.collections[0])
            seconds = part.collections[0].get_coordinates()[0, [0, -1], 0]
            assert list(seconds) == pytest.approx([0, 1], abs=0.1)


@pytest.mark.parametrize("spec", SPECS)
def test_show_normalizations_labels_a_tone_with_its_frequency(spec):
    "The rows of the image have equal heights, so the labels are checked: a tone at a label's frequency is in its row."
    ticks = show_normalizations(tone_clip(400), ["none"], spec=spec).axes[0]
    for position, label in zip(ticks.get_yticks(), ticks.get_yticklabels(), strict=True):
        hertz = float(label.get_text().replace(",", ""))
        if 90 < hertz < 7900:
            ax = show_normalizations(tone_clip(hertz), ["none"], spec=spec).axes[0]
            row = np.asarray(ax.images[0].get_array()).mean(1).argmax()
            assert abs(row - position) <= 1


def recorded(clip, make, n=2):
    recorder = StatsRecorder((0, 1, 3), quantiles=True, clips=True)
    for _ in range(n):
        spec = make()(clip + 1e-3 * torch.randn(2, 1, 16000))
        recorder.update(spec, settings=spec_settings(spec))
    return recorder


@each_tone
@pytest.mark.parametrize("name", TRANSFORMS)
def test_plots_over_frequency_peak_at_the_tone(name, tone):
    make = TRANSFORMS[name]
    quiet, loud = (recorded(tone_clip(tone) * gain, make) for gain in (0.0, 1.0))
    axes = [plot_stats(loud).axes[0], *detect_drift(loud, quiet).show().axes]
    for ax in axes:
        lines = [line for line in ax.lines if len(np.unique(line.get_ydata())) > 10]
        peak = max(lines, key=lambda line: np.max(line.get_ydata()))
        x, k = peak.get_xdata(), np.argmax(peak.get_ydata())
        assert abs(x[k] - tone) <= max(np.diff(x)[max(k - 1, 0) : k + 1])
    assert axes[0].get_xlabel() == axes[-1].get_xlabel() == "frequency (Hz)"
    update = StatsUpdate(quiet, loud, loud).show().axes[0]  # in standard deviations, so its peak can be elsewhere
    assert all(np.array_equal(line.get_xdata(), x) for line in update.lines)
