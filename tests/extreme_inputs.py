"""Values, types, shapes and layouts that data rarely has, and checks that every transform and layer must pass.

Used by tests/transforms/test_extreme_inputs.py, tests/layers/test_extreme_layers.py and
tests/audio/test_extreme_augment.py.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from fastai.torch_core import set_seed
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram
from hypothesis import Phase, settings
from hypothesis import strategies as st

import fastaudio_norm.layers  # noqa: F401  it adds as_module to the transforms
from fastaudio_norm.transforms import (
    SPEC_NORMS,
    WAVE_NORMS,
    AudioNormalize,
    RelaxedFreqNormalize,
    ShortTimeNormalize,
    SlidingNormalize,
    SpecNormalize,
)

SR, BINS = 8000, 12
SHAPES = {"clip": (2, 1000), "wave": (2, 2, 1000), "spec": (2, 2, BINS, 40), "power": (2, 2, BINS, 40)}
DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]
DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.int16]
property_test = settings(
    max_examples=4, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)
short_clips = pytest.mark.filterwarnings("ignore:Loudness is measured")


class Case(NamedTuple):
    "A transform or layer, and the kind of input that it takes."

    call: Callable
    kind: str  # clip, wave (a batch of clips), spec, or power (a spectrogram without negative values)
    is_layer: bool = False
    same_shape: bool = True  # whether the output has the shape of the input
    per_bin: bool = False  # whether the number of frequency bins is fixed

    def wrap(self, x):
        "The plain tensor `x` as the type that `call` takes."
        x = x.abs() if self.kind == "power" and not x.is_complex() else x
        if self.is_layer:
            return x
        if self.kind in ("clip", "wave"):
            x = x.as_subclass(AudioTensor)  # AudioTensor(x) would convert float64 to float32
            x.sr, x.file = SR, "a.wav"
        else:
            x = x.as_subclass(AudioSpectrogram)
            x._settings = {"sr": SR, "hop_length": 128, "to_db": self.kind == "spec"}
        return x

    def __call__(self, x):
        "The output for the plain tensor `x`, as a plain tensor; in training, and with the same seed in each call."
        set_seed(0)
        out = self.call(self.wrap(x)) if self.is_layer else self.call(self.wrap(x), split_idx=0)
        return out.as_subclass(torch.Tensor)


def _fitted(norm):
    if not getattr(norm, "of_dataset", False):
        return norm
    rows = torch.arange(BINS if 1 in norm.axes else 1.0).view(1, 1, -1, 1)
    return SpecNormalize(rows - 50, rows + 5, norm.axes, norm.method)


WAVES = {
    **{name: norm.make() for name, norm in WAVE_NORMS.items()},
    "loudness per channel": AudioNormalize("loudness", per_channel=True),
    "short window": ShortTimeNormalize(0.01),
}
SPECS = {
    **{name: _fitted(norm.make()) for name, norm in SPEC_NORMS.items()},
    "channels and time": SpecNormalize(axes=(1, 3), method="robust"),
    "sliding means": SlidingNormalize(8, center=False, min_window=3, norm_vars=False),
    "only bins": RelaxedFreqNormalize(0),
}
OWN = [name for name in SPECS if name.startswith(("local", "channels"))]  # statistics of each clip itself
RELAXED = ["relaxed", "only bins"]


def kind_of(
    name,  # of a spectrogram normalization
):
    return "power" if name == "pcen" else "spec"


def cases(
    table,  # cases by name
    names=None,  # default: all
):
    "Parametrize a test over cases."
    names = list(table if names is None else names)
    return pytest.mark.parametrize("case", [table[name] for name in names], ids=names)


# ---- values

EXTREMES = {
    "noise": lambda x: x,
    "loud": lambda x: x.clamp(-1, 1) * 1e30,
    "quiet": lambda x: x * 1e-30,
    "subnormal": lambda x: x * 1e-42,
    "mixed": lambda x: torch.where(x > 0, 1e30, 1e-30) * x.clamp(-1, 1),
    "silent": lambda x: x * 0,
    "constant": lambda x: x * 0 - 1 / 3,
    "offset": lambda x: x * 1e-3 + 1e4,
    "spike": lambda x: torch.where(x == x.max(), 1e30, 0.0),
    "raised": lambda x: x + 1e3,
    "square": lambda x: x.sign(),
}
MILD = ["noise", "silent", "constant", "raised", "square"]
kinds, mild_kinds, seeds = st.sampled_from(list(EXTREMES)), st.sampled_from(MILD), st.integers(0, 2**31)
layouts = st.sampled_from(["strided", "transposed", "expanded"])
exponents, dimensions = st.integers(-90, 90), st.sets(st.integers(0, 3))


def values(case, kind="noise", seed=0, shape=None):
    noise = torch.randn(shape or SHAPES[case.kind], generator=torch.Generator().manual_seed(seed))
    return EXTREMES[kind](noise).clamp(-1e30, 1e30)


# ---- checks


def check_finite(
    case,
    kind,
    seed,
    ones,  # dimensions to shrink to size 1
):
    "Finite input gives finite float32 output, and is not changed in place."
    shape = [1 if d in ones and not (n == BINS and case.per_bin) else n for d, n in enumerate(SHAPES[case.kind])]
    x = values(case, kind, seed, shape if case.same_shape else None)
    before = x.clone()
    out = case(x)
    assert out.isfinite().all() and out.dtype == torch.float32 and torch.equal(x, before)
    assert out.shape == x.shape or not case.same_shape


def check_gain(case, seed, exponent):
    "A gain of 2**exponent does not change the output."
    x = values(case, seed=seed)
    torch.testing.assert_close(case(x * 2.0**exponent), case(x), rtol=1e-4, atol=1e-4)


def check_number_type(
    case,
    dtype,  # of the input
    device,
    result_dtype,  # of the output
):
    "The output has the right number type, tensor type, device and metadata, and is as exact as the number types allow."
    x = (values(case) * (1 if dtype.is_floating_point else 99)).to(device, dtype)
    before, wrapped = x.clone(), case.wrap(x)
    out = case.call(wrapped, split_idx=0)
    assert type(out) is type(wrapped) and out.device == x.device and torch.equal(x, before)
    metadata = ("sr", "file") if case.kind in ("clip", "wave") else ("settings",)
    assert all(getattr(out, name) == getattr(wrapped, name) for name in metadata)
    assert out.dtype == result_dtype
    wide = case(x.float()).double()
    eps = max(torch.finfo(t).eps for t in (torch.float32, *[dtype] * dtype.is_floating_point))
    assert (case(x).double() - wide).abs().max() <= 16 * eps * wide.abs().max()


def check_layout(case, kind, seed, layout):
    "A tensor that is not contiguous gives the same output as its contiguous copy."
    x = values(case, kind, seed)
    x = {
        "strided": x.repeat_interleave(2, -1)[..., ::2],
        "transposed": x.transpose(0, -1).contiguous().transpose(0, -1),
        "expanded": x[:1].expand(x.shape),
    }[layout]
    assert not x.is_contiguous()
    expected = case(x.clone(memory_format=torch.contiguous_format))
    torch.testing.assert_close(case(x), expected, rtol=1e-3, atol=1e-3)  # float32 represents 1e3 to within 6e-5


def check_gradients(case, kind, seed):
    "Gradients are finite, and the output with gradients equals the one without."
    x = values(case, kind, seed).requires_grad_()
    out = case(x)
    torch.testing.assert_close(out.detach(), case(x.detach()), rtol=1e-3, atol=1e-3)
    (out * torch.rand_like(out)).sum().backward()
    assert x.grad.isfinite().all() and (x.grad.any() or kind != "noise")


def check_independence(
    case,
    kind,  # of the values of the other clip
    seed,
    nan,  # whether to also try NaN in the other clip
):
    "The output for a clip does not depend on the other clip in its batch."
    x = values(case, seed=seed)
    expected = case(x)[1]
    x[0] = values(case, kind, seed)[0]
    torch.testing.assert_close(case(x)[1], expected, rtol=1e-5, atol=1e-5)
    if nan:
        x[0, 0, 0] = torch.nan
        torch.testing.assert_close(case(x)[1], expected, rtol=1e-5, atol=1e-5)


def check_complex_is_refused(case):
    with pytest.raises(TypeError, match="complex64"):
        case(values(case).to(torch.complex64))


def check_wrong_shapes_are_refused(
    case,
    shapes,  # shapes to try, in addition to a scalar
):
    "The error reports the shape."
    for shape in [(), *shapes]:
        with pytest.raises(ValueError, match=re.escape(str(list(shape)))):
            case(torch.rand(shape))
