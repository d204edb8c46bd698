"""Every normalization with a short name: in a loader, shown, exported, on any layout."""

import warnings

import matplotlib.pyplot as plt
import pytest
import torch
from fastai.learner import Learner, load_learner
from fastaudio.core.signal import AudioTensor
from torch import nn

from fastaudio_norm.audio import SPECS
from fastaudio_norm.data import get_dls
from fastaudio_norm.measure import measure
from fastaudio_norm.transforms import SPEC_NORMS, WAVE_NORMS, SpecNormalize, make_norm, normalized

SR = 16000
NAMES = [*WAVE_NORMS, *SPEC_NORMS]


@pytest.fixture(scope="module")
def stats(made_up):
    return measure(made_up)


def small_learner(dls, path):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64, dls.c))
    return Learner(dls, model, loss_func=nn.CrossEntropyLoss(), path=path)


@pytest.mark.parametrize("name", NAMES)
def test_each_normalization_works_in_a_loader_is_shown_and_exported(name, df, made_up, tmp_path):
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
    kept = name in WAVE_NORMS or name.split("-")[0] in ("global", "channel")  # decoding inverts them
    assert len(shown) == 2 and all((" dB" in spec._colorbar_fmt) == kept for spec in shown)
    dls.valid.show_batch(max_n=2)
    plt.close("all")

    learn = small_learner(dls, tmp_path)
    learn.export("model.pkl")
    again = load_learner(tmp_path / "model.pkl")
    rows = df[df.fold == 1]
    expected, found = (x.get_preds(dl=x.dls.test_dl(rows, bs=4, num_workers=0))[0] for x in (learn, again))
    assert torch.equal(expected, found)


@pytest.mark.parametrize("name", SPEC_NORMS)
def test_layout_autocast_and_gradients_do_not_change_values(name, stats):
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


def test_normalized_equals_a_loader(made_up, df, stats):
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
