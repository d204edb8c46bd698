"""`StatsCallback` records the spectrograms of training."""

import json

import pytest
import torch
from fastai.callback.core import Callback, CancelFitException, CancelTrainException
from fastai.callback.mixup import MixUp
from fastai.callback.schedule import lr_find  # noqa: F401  patched into Learner
from fastaudio.core.config import AudioConfig
from fastaudio.core.spectrogram import AudioToSpec
from support import SMALL_ARCH, Program

from fastaudio_norm.audio import cached_clips
from fastaudio_norm.data import get_dls
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.train.callback import StatsCallback
from fastaudio_norm.train.learner import spec_learner
from fastaudio_norm.transforms import SpecNormalize


@pytest.fixture
def dls(df, made_up):
    to_spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024, hop_length=512))
    clips = cached_clips(df, made_up)
    return lambda *tfms: get_dls(
        df, made_up, bs=16, batch_tfms=[to_spec, *tfms], clips=clips, num_workers=0, drop_last=False
    )


def small_learner(dls, **options):
    return spec_learner(dls, SMALL_ARCH, **options)


def quiet_fit(learn, epochs=1, **kwargs):
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, **kwargs)


def record_training_split(dls):
    recorder = StatsRecorder()
    for x, _ in dls.train:
        recorder.update(x)
    return recorder


def test_only_the_first_training_epoch_is_recorded(dls):
    loaders, cb = dls(), StatsCallback()
    expected = record_training_split(loaders)
    learn = small_learner(loaders, cbs=[cb, MixUp()])
    with learn.no_bar(), learn.no_logging():
        learn.lr_find(num_it=6, show_plot=False)
        learn.get_preds()
        learn.validate()
    assert [r.nobservations for r in cb.recorders] == [0, 0]
    quiet_fit(learn, 2)
    quiet_fit(learn)
    assert cb.recorders[0].nobservations == expected.nobservations
    assert cb.recorders[1].nobservations == expected.nobservations // 32
    assert torch.allclose(cb.recorders[0].mean, expected.mean, rtol=1e-9)  # recorded before MixUp
    assert torch.allclose(cb.recorders[0].std, expected.std, rtol=1e-9)
    for norm, recorder in zip(cb.normalizers(), cb.recorders):
        assert norm.axes == recorder.red_dims and torch.equal(norm.mean, recorder.mean.cpu())


@pytest.mark.parametrize("interruption", [CancelFitException, CancelTrainException])
def test_an_interrupted_epoch_is_recorded_again(dls, interruption):
    class StopAfterOne(Callback):
        run_valid = False

        def after_batch(self):
            raise interruption()

    loaders, recorder = dls(), StatsRecorder((0, 2, 3))
    cb = StatsCallback([recorder])
    learn = small_learner(loaders, cbs=cb)
    quiet_fit(learn, cbs=StopAfterOne())
    assert recorder.nobservations == 0
    quiet_fit(learn)
    assert recorder.nobservations == record_training_split(loaders).nobservations


def test_several_epochs_are_recorded(dls):
    loaders = dls()
    cb = StatsCallback(epochs=2)
    quiet_fit(small_learner(loaders, cbs=cb), 3)
    assert cb.recorders[0].nobservations == 2 * record_training_split(loaders).nobservations


def test_statistics_of_normalized_spectrograms_are_refused(dls):
    cb = StatsCallback()
    quiet_fit(small_learner(dls(SpecNormalize()), cbs=cb))
    assert abs(cb.recorders[0].mean) < 0.01
    with pytest.raises(ValueError, match="the loaders have a SpecNormalize: train with loaders without it"):
        cb.normalizers()
    with pytest.raises(ValueError, match="nothing yet"):
        StatsCallback().normalizers()


def test_recorders_keep_their_options_and_share_one_update(dls, monkeypatch):
    loaders, calls, update = dls(), [], StatsRecorder.update

    def counted(self, *args, **kwargs):
        calls.append(1)
        return update(self, *args, **kwargs)

    monkeypatch.setattr(StatsRecorder, "update", counted)
    cb = StatsCallback([StatsRecorder((0, 2, 3), quantiles=True), StatsRecorder((0, 1, 3), correction=0)])
    quiet_fit(small_learner(loaders, cbs=cb))
    assert len(calls) == len(loaders.train)
    x = torch.cat([x.as_subclass(torch.Tensor) for x, _ in loaders.train]).double()
    assert abs(cb.recorders[0].median - x.median()) <= cb.recorders[0].quantile_error
    assert torch.allclose(cb.recorders[1].std, x.std((0, 1, 3), correction=0, keepdim=True), rtol=1e-6)
    assert cb.recorders[0].settings["n_mels"] == cb.normalizers()[1].settings["n_mels"] == 32


DISTRIBUTED = """
import json, sys, torch
from fastai.distributed import DistributedDL
from fastai.vision.all import DataBlock, Learner, TensorImageBase, TransformBlock
from fastaudio_norm.train.callback import StatsCallback

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)

class OnCPU(DistributedDL):  # fastai's class broadcasts the order of items through a GPU
    def _broadcast(self, t, rank):
        t = torch.tensor(t)
        torch.distributed.broadcast(t, rank)
        return t.tolist()

specs = torch.load(f"{folder}/specs")
block = DataBlock(blocks=(TransformBlock, TransformBlock), get_x=lambda i: TensorImageBase(specs[i]),
                  get_y=lambda i: torch.zeros(1), splitter=lambda items: (list(range(7)), [7]))
dls = block.dataloaders(list(range(8)), bs=2, num_workers=0, drop_last=False)
dls.loaders = [OnCPU(dl, rank, 2) for dl in dls.loaders]
cb = StatsCallback()
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(30, 1))
learn = Learner(dls, model, loss_func=torch.nn.functional.mse_loss, cbs=cb)
with learn.no_bar(), learn.no_logging():
    learn.fit(2)
print(json.dumps([(r.nobservations, r.mean.flatten().tolist(), r.std.flatten().tolist()) for r in cb.recorders]))
"""


def test_distributed_training_counts_each_clip_once(tmp_path):
    specs = torch.randn(8, 1, 5, 6)  # seven train; fastai repeats one, so that both processes have four
    torch.save(specs, tmp_path / "specs")
    ranks = [Program(tmp_path, DISTRIBUTED, rank, tmp_path) for rank in range(2)]
    first, second = (json.loads(rank.printed()[0].splitlines()[-1]) for rank in ranks)
    assert first == second
    x = specs[:7].double()
    for (n, mean, std), dims in zip(first, [(0, 1, 2, 3), (0, 1, 3)]):
        assert n == 7 * 30 / len(mean)
        assert torch.allclose(torch.tensor(mean).double(), x.mean(dims), atol=1e-6)
        assert torch.allclose(torch.tensor(std).double(), x.std(dims), atol=1e-6)
