"""Every normalization that has a name: in a loader, shown, exported; what it costs in memory; and its picture."""

import warnings

import matplotlib.pyplot as plt
import pytest
import torch
from fastai.learner import Learner, load_learner
from fastai.torch_core import TensorImageBase
from fastaudio.core.signal import AudioTensor
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fastaudio_norm.audio.spectrograms import SPECS
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.measure import measure
from fastaudio_norm.transforms.registry import SPEC_NORMS, WAVE_NORMS, make_norm, normalized, show_normalizations
from fastaudio_norm.transforms.spectrogram import SpecNormalize

SR = 16000
NAMES = [*WAVE_NORMS, *SPEC_NORMS]


@pytest.fixture(scope="module")
def stats(made_up):
    return measure(made_up)


def small_learner(dls, path):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64, dls.c))
    return Learner(dls, model, loss_func=nn.CrossEntropyLoss(), path=path)


@pytest.mark.parametrize("name", NAMES)
def test_each_acts_in_a_loader_is_shown_and_exported(name, df, made_up, tmp_path):
    df = df.groupby("fold").head(4)
    plain_spec = SPECS["mel"](to_db="pcen" not in name)
    plain = get_dls(df, made_up, bs=4, batch_tfms=[plain_spec], num_workers=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        dls = get_dls(df, made_up, 1, 4, *make_norm(name), num_workers=0)
        x = dls.valid.one_batch()[0]
    before = plain.valid.one_batch()[0]
    assert x.shape == before.shape and type(x) is type(before) and x.isfinite().all()
    assert (x - before).abs().mean() > 0.1 * before.std() or name == "pcen"
    assert not torch.equal(x, before)

    shown = [sample[0] for sample in dls.valid.show_batch(max_n=2, show=False)[2]]
    kept = name in WAVE_NORMS or name.split("-")[0] in ("global", "channel")  # which are decoded
    assert len(shown) == 2 and all((" dB" in spec._colorbar_fmt) == kept for spec in shown)
    dls.valid.show_batch(max_n=2)
    plt.close("all")

    learn = small_learner(dls, tmp_path)
    learn.export("model.pkl")
    again = load_learner(tmp_path / "model.pkl")
    rows = df[df.fold == 1]
    expected, found = (x.get_preds(dl=x.dls.test_dl(rows, bs=4, num_workers=0))[0] for x in (learn, again))
    assert torch.equal(expected, found)


class BigTensors(TorchDispatchMode):
    "Which storages of at least `nbytes` appear."

    def __init__(self, nbytes):
        super().__init__()
        self.nbytes, self.seen = nbytes, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(t, torch.Tensor) and t.untyped_storage().nbytes() >= self.nbytes:
                self.seen.add(t.untyped_storage().data_ptr())
        return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("axes", [(0, 2, 3), (0, 1, 3), (2, 3), (3,)])
@pytest.mark.parametrize("method", ["zscore", "minmax", "robust"])
def test_spec_normalize_makes_one_new_tensor_and_keeps_its_input(method, axes, channels, dtype):
    x = (torch.randn(32, channels, 16, 50) * 20 - 60).to(dtype)
    before = x.clone()
    norm = SpecNormalize(axes=axes, method=method)
    if norm.of_dataset:
        norm = SpecNormalize(
            *(torch.rand([1 if d in axes else n for d, n in enumerate(x.shape)]) + s for s in (0, 1)), axes
        )
    given = x.as_subclass(TensorImageBase)
    norm(given)  # what is prepared once
    with BigTensors(x.untyped_storage().nbytes()) as big:
        out = norm(given)
    new = big.seen - {x.untyped_storage().data_ptr()}
    assert len(new) == 1 and out.untyped_storage().data_ptr() in new
    assert out.dtype == dtype and torch.equal(x, before) and out.is_contiguous()


@pytest.mark.parametrize("name", SPEC_NORMS)
def test_layout_autocast_and_gradients_change_nothing(name, stats):
    to_spec = SPECS["mel"](to_db="pcen" not in name)
    spec = to_spec(AudioTensor(torch.randn(3, 2, SR) * torch.tensor([0.1, 1.0]).view(2, 1), sr=SR))
    norm = SPEC_NORMS[name].make()
    if getattr(norm, "of_dataset", False):
        norm = SpecNormalize.from_stats(stats, norm.axes, method=norm.method)
    expected, atol = norm(spec).as_subclass(torch.Tensor), 1e-4

    def close(x):
        return torch.allclose(norm(x).as_subclass(torch.Tensor).float(), expected, atol=atol, rtol=1e-4)

    assert close(spec.to(memory_format=torch.channels_last)) and close(spec.double())
    assert close(spec.transpose(2, 3).clone().transpose(2, 3)) and close(spec.clone().requires_grad_())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert close(spec)
    for item, whole in zip(spec, expected):
        assert torch.allclose(norm(item).as_subclass(torch.Tensor), whole, atol=atol)


# ---- pictures


def test_show_normalizations_has_one_picture_for_each(made_up, df, stats):
    file = made_up / "audio" / df.filename[0]
    fig = show_normalizations(file, stats=stats)
    images = [ax for ax in fig.axes if ax.images]
    assert [ax.get_title().split("\n")[0] for ax in images] == ["none", *NAMES]
    units = [ax.get_ylabel() for ax in fig.axes[2::3]]
    assert units[0] == "dB" and units[1 + len(WAVE_NORMS)] == "std" and units[-1] == "PCEN"
    x = normalized(file, "none")
    assert x.shape[0] == 1 and fig.axes[0].images[0].get_array().shape == tuple(x.shape[1:])
    without = [ax.get_title().split("\n")[0] for ax in show_normalizations(file).axes if ax.images]
    assert without == [name for name in ["none", *NAMES] if name.split("-")[0] not in ("global", "channel")]
    plt.close("all")


def test_normalized_is_what_a_loader_makes(made_up, df, stats):
    name = df.filename[0]
    clip = AudioTensor.create(made_up / "audio" / name)
    before = clip.clone()
    out = normalized(clip, "wave+local")
    expected = get_dls(df[df.fold < 3], made_up, df.fold[0], 8, *make_norm("wave+local"), num_workers=0)
    expected = next(x for x, _ in expected.valid.new(bs=1, shuffle=False))
    assert torch.equal(clip, before) and torch.allclose(out, expected[0], atol=1e-4)
    assert torch.equal(normalized(made_up / "audio" / name, "wave+local"), out)
    with pytest.raises(ValueError, match="'channel' needs the statistics"):
        normalized(clip, "channel")
    assert normalized(clip * 0, "local").abs().max() == 0
    show_normalizations(clip * 0, ["none", "local"])  # silent, so that all values are one
    plt.close("all")
