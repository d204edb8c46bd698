"""Showing clips, batches, predictions and top losses."""

import matplotlib.pyplot as plt
import pytest
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.core import show_batch
from fastai.data.transforms import IndexSplitter
from fastai.interpret import ClassificationInterpretation
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastaudio.core.config import AudioBlock, AudioConfig
from fastaudio.core.signal import get_audio_files
from fastaudio.core.spectrogram import AudioToSpec
from torch import nn

NAMES = {"a": "crackling_fire_in_the_living_room_of_an_old_house", "b": "washing_machine"}


def to_spec():
    return AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024))


@pytest.fixture(autouse=True)
def close_figures():
    plt.close("all")
    yield
    plt.close("all")


def loaders(folder, tfms, mono=True):
    data = DataBlock(
        (AudioBlock(crop_signal_to=500, force_mono=mono), CategoryBlock),
        get_items=get_audio_files,
        get_y=lambda file: NAMES[file.stem[-1]],
        splitter=IndexSplitter([0, 1, 2]),
        batch_tfms=tfms,
    )
    return data.dataloaders(folder, bs=4, num_workers=0)


def titled(figure):
    return [ax for ax in figure.axes if ax.get_title()]


def assert_nothing_overlaps(figure):
    "No title, tick label or axis label of one clip overlaps with those of another or leaves the figure."
    figure.canvas.draw()
    boxes = []
    for ax in titled(figure):
        found = [ax.title.get_window_extent()]
        for part in ax.child_axes:
            found += [axis.get_tightbbox() for axis in (part.xaxis, part.yaxis)]
            found += [part.title.get_window_extent()] if part.get_title() else []
        boxes.append([box for box in found if box and box.width and box.height])
        assert ax.title.get_window_extent().y0 >= max(part.get_window_extent().y1 for part in ax.child_axes)
    for i, own in enumerate(boxes):
        for box in own:
            assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
            assert not any(box.overlaps(other) for others in boxes[i + 1 :] for other in others)


def test_clips_can_be_heard_and_shown(clip, capsys):
    clip.hear()
    clip.show(hear=True)
    assert capsys.readouterr().out.count("Audio object") == 2


@pytest.mark.parametrize("kind", ["waveforms", "spectrograms"])
@pytest.mark.parametrize("mono", [True, False], ids=["mono", "stereo"])
def test_show_batch_draws_each_clip_once_without_overlaps(tmp_path, clip, kind, mono):
    for i in range(8):
        clip.save(tmp_path / f"{i}-{'ab'[i % 2]}.wav")
    dls = loaders(tmp_path, [to_spec()] if kind == "spectrograms" else [], mono)
    for options in ({"max_n": 2}, {"max_n": 4, "ncols": 4}, {"max_n": 3, "figsize": (9, 5)}):
        plt.close("all")
        dls.show_batch(**options)
        figure = plt.gcf()
        assert len(plt.get_fignums()) == 1 and len(titled(figure)) == options["max_n"]
        assert {ax.get_title().replace("\n", "") for ax in titled(figure)} <= set(NAMES.values())
        assert all(part.has_data() for ax in titled(figure) for part in ax.child_axes)
        assert_nothing_overlaps(figure)


def test_stereo_channels_have_one_colour_scale(spec):
    two = torch.cat([spec[:1], spec[:1] - 30])
    images = [image for part in two.show().child_axes for image in part.collections]
    assert {image.get_clim() for image in images} == {(two.min().item(), two.max().item())} and len(images) > 1
    plt.close("all")


def test_show_batch_of_many_clips(spec):
    show_batch(spec, None, [(spec, NAMES["a"])] * 12, max_n=12)
    assert len(titled(plt.gcf())) == 12
    assert_nothing_overlaps(plt.gcf())


def test_show_batch_draws_in_given_axes(spec):
    _, axes = plt.subplots(1, 2)
    assert list(show_batch(spec, None, [(spec, "a", "b"), (spec, "c", "d")], ctxs=axes)) == list(axes)
    assert [ax.get_title() for ax in axes] == ["a, b", "c, d"]


@pytest.fixture(params=["waveforms", "spectrograms"])
def learn(mixed_folder, request):
    dls = loaders(mixed_folder, [to_spec()] if request.param == "spectrograms" else [])
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 2))
    model[2].weight.data.zero_()
    model[2].bias.data = torch.tensor([1.0, 0.0])  # always predicts the first class
    return Learner(dls, model, loss_func=CrossEntropyLossFlat())


@pytest.mark.parametrize("draw", ["show_results", "plot_top_losses"])
def test_titles_of_predictions_state_truth_and_prediction(learn, draw):
    if draw == "show_results":
        learn.show_results(max_n=3)
    else:
        ClassificationInterpretation.from_learner(learn).plot_top_losses(3)
    figure = plt.gcf()
    assert len(plt.get_fignums()) == 1 and len(titled(figure)) == 3
    assert_nothing_overlaps(figure)
    for ax in titled(figure):
        title = ax.get_title().replace("\n", "").replace(" ", "")
        truth, prediction = title.split(",predicted")
        assert truth in NAMES.values() and prediction.startswith(NAMES["a"])
        assert ax.title.get_color() == ("green" if truth == NAMES["a"] else "red")
        if draw == "plot_top_losses":  # softmax of (1, 0) is (0.73, 0.27)
            assert prediction.endswith(f"probability0.73,loss{0.31 if truth == NAMES['a'] else 1.31}")


def test_top_losses_come_first(learn):
    ClassificationInterpretation.from_learner(learn).plot_top_losses(3, nrows=3, ncols=1)
    losses = [float(ax.get_title().split()[-1]) for ax in titled(plt.gcf())]
    assert losses == sorted(losses, reverse=True) and set(losses) == {0.31, 1.31}


def test_confusion_matrix(learn):
    interpretation = ClassificationInterpretation.from_learner(learn)
    assert interpretation.confusion_matrix().sum() == 3
    interpretation.plot_confusion_matrix()
    assert {label.get_text() for label in plt.gca().get_xticklabels()} == set(NAMES.values())
