"""Every transform and layer, given values, shapes, types and layouts that data seldom has."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import pytest
import torch
from fastai.torch_core import set_seed
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import fastaudio_norm.layers  # noqa: F401  as_module comes from there
from fastaudio_norm.audio.augment import ActiveCrop, RandomSpeed, SpecAugment
from fastaudio_norm.transforms.adaptive import PCENLayer, RelaxedFreqNormalize
from fastaudio_norm.transforms.registry import SPEC_NORMS, WAVE_NORMS
from fastaudio_norm.transforms.sliding import ShortTimeNormalize, SlidingNormalize
from fastaudio_norm.transforms.spectrogram import AudioNormalize, SpecNormalize

SR, BINS = 8000, 12
SHAPES = {"clip": (2, 1000), "wave": (2, 2, 1000), "spec": (2, 2, BINS, 40), "power": (2, 2, BINS, 40)}
DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]
pytestmark = pytest.mark.filterwarnings("ignore:Loudness is measured")  # for these clips are short
property_test = settings(
    max_examples=4, deadline=None, database=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)


class Case(NamedTuple):
    call: Callable
    kind: str  # of what it is given: clip, wave (a batch of them), spec, or power, which is not negative
    is_layer: bool = False
    same_shape: bool = True

    def given(self, x):
        "The plain tensor `x` as it takes it."
        x = x.abs() if self.kind == "power" and not x.is_complex() else x
        if self.is_layer:
            return x
        if self.kind in ("clip", "wave"):
            x = x.as_subclass(AudioTensor)  # AudioTensor(x) would make float32 of float64
            x.sr, x.file = SR, "a.wav"
        else:
            x = x.as_subclass(AudioSpectrogram)
            x._settings = {"sr": SR, "hop_length": 128, "to_db": self.kind == "spec"}
        return x

    def __call__(self, x):
        "What it makes of the plain tensor `x`, as a plain tensor; in training, and alike each time."
        set_seed(0)
        out = self.call(self.given(x)) if self.is_layer else self.call(self.given(x), split_idx=0)
        return out.as_subclass(torch.Tensor)


def fitted(norm):
    if not getattr(norm, "of_dataset", False):
        return norm
    rows = torch.arange(BINS if 1 in norm.axes else 1.0).view(1, 1, -1, 1)
    return SpecNormalize(rows - 50, rows + 5, norm.axes, norm.method)


waves = {
    **{name: norm.make() for name, norm in WAVE_NORMS.items()},
    "loudness per channel": AudioNormalize("loudness", per_channel=True),
    "short window": ShortTimeNormalize(0.01),
}
specs = {
    **{name: fitted(norm.make()) for name, norm in SPEC_NORMS.items()},
    "channels and time": SpecNormalize(axes=(1, 3), method="robust"),
    "sliding means": SlidingNormalize(8, center=False, min_window=3, norm_vars=False),
    "only bins": RelaxedFreqNormalize(0),
}
kind_of = {name: "power" if name == "pcen" else "spec" for name in specs}
CASES = {
    **{name: Case(norm, "wave") for name, norm in waves.items()},
    **{name: Case(norm, kind_of[name]) for name, norm in specs.items()},
    "crop": Case(ActiveCrop(0.05), "clip", same_shape=False),
    "filled crop": Case(ActiveCrop(0.5), "wave", same_shape=False),
    "faster": Case(RandomSpeed((1.25,)), "wave", same_shape=False),
    "masks": Case(SpecAugment(max_freq=3, max_time=9), "spec"),
    "masks of means": Case(SpecAugment(max_freq=99, max_time=99, value=None), "spec"),
    **{f"layer {name}": Case(norm.as_module(SR), "wave", True) for name, norm in waves.items()},
    **{
        f"layer {name}": Case(norm.as_module(SR / 128) if name == "pcen" else norm.as_module(), kind_of[name], True)
        for name, norm in specs.items()
    },
    "layer trained pcen": Case(PCENLayer(BINS, SR / 128).requires_grad_(False), "power", True),
}
TRANSFORMS = [name for name, case in CASES.items() if not case.is_layer]
NORMS = [*waves, *specs]
LAYERS = [name for name, case in CASES.items() if case.is_layer]
RELAXED, OWN = ["relaxed", "only bins"], [name for name in specs if name.startswith(("local", "channels"))]
PER_BIN = [name for name in CASES if name.removeprefix("layer ").startswith("channel")] + ["layer trained pcen"]


def cases(*names):
    return pytest.mark.parametrize("name", names)


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
kinds, seeds = st.sampled_from(list(EXTREMES)), st.integers(0, 2**31)


def of(case, kind="noise", seed=0, shape=None):
    noise = torch.randn(shape or SHAPES[case.kind], generator=torch.Generator().manual_seed(seed))
    return EXTREMES[kind](noise).clamp(-1e30, 1e30)


@cases(*CASES)
@property_test
@given(kind=kinds, seed=seeds, ones=st.sets(st.integers(0, 3)))
@example(kind="loud", seed=0, ones=set())
@example(kind="spike", seed=0, ones=set())
@example(kind="noise", seed=0, ones={0, 1, 2, 3})
def test_what_is_finite_stays_finite_and_the_input_as_it_was(name, kind, seed, ones):
    case = CASES[name]
    shape = [1 if d in ones and (n != BINS or name not in PER_BIN) else n for d, n in enumerate(SHAPES[case.kind])]
    x = of(case, kind, seed, shape if case.same_shape else None)
    before = x.clone()
    out = case(x)
    assert out.isfinite().all() and out.dtype == torch.float32 and torch.equal(x, before)
    assert out.shape == x.shape or not case.same_shape


@cases(*waves, *OWN, "sliding", *RELAXED, "layer local")
@property_test
@given(seed=seeds, exponent=st.integers(-90, 90))
@example(seed=0, exponent=90)
@example(seed=0, exponent=-90)
def test_nothing_is_too_loud_or_too_quiet(name, seed, exponent):
    case = CASES[name]
    x = of(case, seed=seed)
    louder = x * 2.0 ** (abs(exponent) if name in RELAXED else exponent)  # their eps says what is too quiet
    torch.testing.assert_close(case(louder), case(x), rtol=1e-4, atol=1e-4)


@cases(*TRANSFORMS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int16], ids=str)
def test_each_type_of_number_is_kept_or_refused(name, dtype, device):
    case = CASES[name]
    x = (of(case) * (1 if dtype.is_floating_point else 99)).to(device, dtype)
    if dtype == torch.int16 and name in ("faster", "masks of means"):
        with pytest.raises((TypeError, RuntimeError), match="floating point"):  # in torch's words
            case(x)
        return
    before, given_x = x.clone(), case.given(x)
    out = case.call(given_x, split_idx=0)
    assert type(out) is type(given_x) and out.device == x.device and torch.equal(x, before)
    kept = ("sr", "file") if case.kind in ("clip", "wave") else ("settings",)
    assert all(getattr(out, meta) == getattr(given_x, meta) for meta in kept)
    assert out.dtype == (dtype if dtype.is_floating_point or name not in NORMS else torch.float32)
    wide = case(x.float()).double()
    eps = max(torch.finfo(t).eps for t in (torch.float32, *[dtype] * dtype.is_floating_point))
    assert (case(x).double() - wide).abs().max() <= 16 * eps * wide.abs().max()


@cases(*TRANSFORMS)
@property_test
@given(kind=st.sampled_from(MILD), seed=seeds, layout=st.sampled_from(["strided", "transposed", "expanded"]))
@example(kind="noise", seed=0, layout="transposed")
@example(kind="noise", seed=0, layout="expanded")
def test_layout_changes_nothing(name, kind, seed, layout):
    case = CASES[name]
    x = of(case, kind, seed)
    x = {
        "strided": x.repeat_interleave(2, -1)[..., ::2],
        "transposed": x.transpose(0, -1).contiguous().transpose(0, -1),
        "expanded": x[:1].expand(x.shape),
    }[layout]
    assert not x.is_contiguous()
    expected = case(x.clone(memory_format=torch.contiguous_format))
    torch.testing.assert_close(case(x), expected, rtol=1e-3, atol=1e-3)  # 1e3 is 6e-5 off in float32


@cases(*CASES)
@property_test
@given(kind=st.sampled_from(MILD), seed=seeds)
@example(kind="silent", seed=0)
@example(kind="constant", seed=0)
def test_gradients_are_finite_and_values_the_same(name, kind, seed):
    case = CASES[name]
    x = of(case, kind, seed).requires_grad_()
    out = case(x)
    torch.testing.assert_close(out.detach(), case(x.detach()), rtol=1e-3, atol=1e-3)
    (out * torch.rand_like(out)).sum().backward()
    assert x.grad.isfinite().all() and (x.grad.any() or kind != "noise")


@cases(*NORMS, *LAYERS)
@property_test
@given(kind=kinds, seed=seeds)
def test_a_clip_does_not_depend_on_others_in_its_batch(name, kind, seed):
    case = CASES[name]
    x = of(case, seed=seed)
    expected = case(x)[1]
    x[0] = of(case, kind, seed)[0]
    torch.testing.assert_close(case(x)[1], expected, rtol=1e-5, atol=1e-5)
    if case.kind != "wave" or case.is_layer:  # transforms of waveforms refuse it
        x[0, 0, 0] = torch.nan
        torch.testing.assert_close(case(x)[1], expected, rtol=1e-5, atol=1e-5)


@cases(*NORMS, *LAYERS)
def test_complex_numbers_are_refused(name):
    with pytest.raises(TypeError, match="complex64"):
        CASES[name](of(CASES[name]).to(torch.complex64))


@cases(*NORMS, *(f"layer {name}" for name in waves), "crop", "masks")
def test_a_wrong_number_of_dimensions_is_refused(name):
    wrong = {"wave": [(50,)], "clip": [(900,), (2, 2, 900)]}.get(CASES[name].kind, [(BINS, 40), (1, 1, 1, BINS, 40)])
    for shape in [(), *wrong, *[(1, BINS, 40)] * (name == "masks")]:
        with pytest.raises(ValueError, match=re.escape(f"not {list(shape)}")):
            CASES[name](torch.rand(shape))


@cases(*NORMS)
def test_nothing_becomes_nothing_or_is_refused(name):
    full = SHAPES[CASES[name].kind]
    refuses = name in OWN or isinstance(waves.get(name), AudioNormalize)
    for dim in range(len(full)):
        shape = [0 if d == dim else n for d, n in enumerate(full)]
        if dim == 2 and name.startswith("channel") and not refuses:
            continue  # statistics of no bins do not fit
        with pytest.raises(ValueError, match=re.escape(str(shape))) if refuses else nullcontext():
            assert list(CASES[name](torch.rand(shape)).shape) == shape
