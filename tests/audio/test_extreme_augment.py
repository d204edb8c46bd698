"""Every augmentation, given values, types, shapes and layouts that data rarely has."""

import pytest
import torch
from extreme_inputs import (
    BINS,
    DEVICES,
    DTYPES,
    Case,
    cases,
    check_finite,
    check_gradients,
    check_layout,
    check_number_type,
    check_wrong_shapes_are_refused,
    dimensions,
    kinds,
    layouts,
    mild_kinds,
    property_test,
    seeds,
    values,
)
from hypothesis import example, given

from fastaudio_norm.audio import ActiveCrop, RandomSpeed, SpecAugment

CASES = {
    "crop": Case(ActiveCrop(0.05), "clip", same_shape=False),
    "padded crop": Case(ActiveCrop(0.5), "wave", same_shape=False),
    "faster": Case(RandomSpeed((1.25,)), "wave", same_shape=False),
    "masks": Case(SpecAugment(max_freq=3, max_time=9), "spec"),
    "masks of means": Case(SpecAugment(max_freq=99, max_time=99, value=None), "spec"),
}
NEED_FLOATS = ("faster", "masks of means")


@cases(CASES)
@property_test
@given(kind=kinds, seed=seeds, ones=dimensions)
@example(kind="loud", seed=0, ones=set())
@example(kind="spike", seed=0, ones=set())
@example(kind="noise", seed=0, ones={0, 1, 2, 3})
def test_finite_input_gives_finite_output(case, kind, seed, ones):
    check_finite(case, kind, seed, ones)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_number_types_are_kept_or_refused(name, dtype, device):
    case = CASES[name]
    if dtype == torch.int16 and name in NEED_FLOATS:
        with pytest.raises((TypeError, RuntimeError), match="floating point"):  # PyTorch's message
            case((values(case) * 99).to(device, dtype))
        return
    check_number_type(case, dtype, device, result_dtype=dtype)


@cases(CASES)
@property_test
@given(kind=mild_kinds, seed=seeds, layout=layouts)
@example(kind="noise", seed=0, layout="transposed")
@example(kind="noise", seed=0, layout="expanded")
def test_layout_does_not_change_the_output(case, kind, seed, layout):
    check_layout(case, kind, seed, layout)


@cases(CASES)
@property_test
@given(kind=mild_kinds, seed=seeds)
@example(kind="silent", seed=0)
@example(kind="constant", seed=0)
def test_gradients_are_finite(case, kind, seed):
    check_gradients(case, kind, seed)


@pytest.mark.parametrize(
    "name, shapes", [("crop", [(900,)]), ("masks", [(BINS, 40), (1, 1, 1, BINS, 40), (1, BINS, 40)])]
)
def test_a_wrong_number_of_dimensions_is_refused(name, shapes):
    check_wrong_shapes_are_refused(CASES[name], shapes)
