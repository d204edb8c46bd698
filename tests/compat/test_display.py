"""Showing clips and batches."""

import matplotlib.pyplot as plt
from fastaudio.core.config import AudioBlock, AudioConfig
from fastaudio.core.spectrogram import AudioToSpec


def test_clips_can_be_heard_and_shown(clip, capsys):
    clip.hear()
    clip.show(hear=True)
    assert capsys.readouterr().out.count("Audio object") == 2
    plt.close("all")


def test_show_batch_draws_each_clip_once(mixed_folder, make_loaders):
    for tfms in ([], [AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024))]):
        plt.close("all")
        make_loaders(AudioBlock(crop_signal_to=500), mixed_folder, batch_tfms=tfms).show_batch(max_n=2)
        figure = plt.gcf()
        assert len(plt.get_fignums()) == 1
        assert [ax.get_title() in "ab" for ax in figure.axes if ax.get_title()] == [True, True]
        assert all(ax.child_axes[0].has_data() for ax in figure.axes if ax.get_title())
    plt.close("all")
