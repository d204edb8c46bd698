"""Plots of a clip after each normalization."""

import matplotlib.pyplot as plt
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.measure import measure
from fastaudio_norm.transforms import SPEC_NORMS, WAVE_NORMS, normalized, show_normalizations

NAMES = [*WAVE_NORMS, *SPEC_NORMS]


def test_show_normalizations_has_one_plot_per_normalization(made_up, df):
    stats = measure(made_up)
    file = made_up / "audio" / df.filename[0]
    fig = show_normalizations(file, stats=stats)
    images = [ax for ax in fig.axes if ax.images]
    assert [ax.get_title().split("\n")[0] for ax in images] == ["none", *NAMES]
    units = [ax.get_title() for ax in fig.axes[2::3]]
    assert units[0] == "dB" and units[1 + len(WAVE_NORMS)] == "std" and units[-1] == "PCEN"
    x = normalized(file, "none")
    assert x.shape[0] == 1 and fig.axes[0].images[0].get_array().shape == tuple(x.shape[1:])
    without = [ax.get_title().split("\n")[0] for ax in show_normalizations(file).axes if ax.images]
    assert without == [name for name in ["none", *NAMES] if name.split("-")[0] not in ("global", "channel")]
    plt.close("all")


def test_show_normalizations_accepts_silence(made_up, df):
    clip = AudioTensor.create(made_up / "audio" / df.filename[0]) * 0
    fig = show_normalizations(clip, ["none", "local"])
    assert len([ax for ax in fig.axes if ax.images]) == 2
    plt.close("all")
