"""StatsCallback inside a Learner."""

import pytest
import torch
from fastai.callback.core import Callback, CancelFitException, CancelTrainException
from fastai.callback.mixup import MixUp
from fastai.callback.schedule import lr_find  # noqa: F401  patched into Learner
from fastaudio.core.config import AudioConfig
from fastaudio.core.spectrogram import AudioToSpec

from fastaudio_norm.callback import StatsCallback
from fastaudio_norm.data import get_dls, read_clips
from fastaudio_norm.learner import spec_learner
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.transforms import SpecNormalize


@pytest.fixture
def dls(df, made_up):
    to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024, hop_length=512))
    clips = read_clips(df, made_up)
    return lambda *tfms: get_dls(
        df, made_up, bs=16, batch_tfms=[to_spec, *tfms], clips=clips, num_workers=0, drop_last=False
    )


def quiet_fit(learn, epochs=1, **kwargs):
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, **kwargs)


def of_training(dls):
    recorder = StatsRecorder()
    for x, _ in dls.train:
        recorder.update(x)
    return recorder


def test_counts_the_first_epoch_of_training_once(dls):
    loaders, cb = dls(), StatsCallback()
    expected = of_training(loaders)
    learn = spec_learner(loaders, cbs=[cb, MixUp()])
    with learn.no_bar(), learn.no_logging():
        learn.lr_find(num_it=6, show_plot=False)
        learn.get_preds()
        learn.validate()
    assert [r.nobservations for r in cb.recorders] == [0, 0]
    quiet_fit(learn, 2)
    quiet_fit(learn)
    assert cb.recorders[0].nobservations == expected.nobservations
    assert cb.recorders[1].nobservations == expected.nobservations // 32
    assert torch.allclose(cb.recorders[0].mean, expected.mean, rtol=1e-9)  # before MixUp has mixed
    assert torch.allclose(cb.recorders[0].std, expected.std, rtol=1e-9)
    for norm, recorder in zip(cb.normalizers(), cb.recorders):
        assert norm.axes == recorder.red_dims and torch.equal(norm.mean, recorder.mean.cpu())


@pytest.mark.parametrize("interruption", [CancelFitException, CancelTrainException])
def test_an_interrupted_epoch_is_gathered_anew(dls, interruption):
    class StopAfterOne(Callback):
        run_valid = False

        def after_batch(self):
            raise interruption()

    loaders, mine = dls(), StatsRecorder((0, 2, 3))
    cb = StatsCallback([mine])
    learn = spec_learner(loaders, cbs=cb)
    quiet_fit(learn, cbs=StopAfterOne())
    assert mine.nobservations == 0
    quiet_fit(learn)
    assert mine.nobservations == of_training(loaders).nobservations


def test_several_epochs(dls):
    loaders = dls()
    cb = StatsCallback(epochs=2)
    quiet_fit(spec_learner(loaders, cbs=cb), 3)
    assert cb.recorders[0].nobservations == 2 * of_training(loaders).nobservations


def test_offers_nothing_for_what_was_normalized_already(dls):
    cb = StatsCallback()
    quiet_fit(spec_learner(dls(SpecNormalize()), cbs=cb))
    assert abs(cb.recorders[0].mean) < 0.01
    with pytest.raises(ValueError, match="a SpecNormalize had normalized"):
        cb.normalizers()
    with pytest.raises(ValueError, match="nothing yet"):
        StatsCallback().normalizers()
