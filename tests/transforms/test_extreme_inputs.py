"""Every normalizing transform, given values, types, shapes and layouts that data rarely has."""

import re
from contextlib import nullcontext

import pytest
import torch
from extreme_inputs import (
    DEVICES,
    DTYPES,
    OWN,
    RELAXED,
    SHAPES,
    SPECS,
    WAVES,
    Case,
    cases,
    check_complex_is_refused,
    check_finite,
    check_gain,
    check_gradients,
    check_independence,
    check_layout,
    check_number_type,
    check_wrong_shapes_are_refused,
    dimensions,
    exponents,
    kind_of,
    kinds,
    layouts,
    mild_kinds,
    property_test,
    seeds,
    short_clips,
)
from hypothesis import example, given

from fastaudio_norm.transforms import AudioNormalize

CASES = {
    **{name: Case(norm, "wave") for name, norm in WAVES.items()},
    **{name: Case(norm, kind_of(name), per_bin=name.startswith("channel")) for name, norm in SPECS.items()},
}
pytestmark = short_clips


@cases(CASES)
@property_test
@given(kind=kinds, seed=seeds, ones=dimensions)
@example(kind="loud", seed=0, ones=set())
@example(kind="spike", seed=0, ones=set())
@example(kind="noise", seed=0, ones={0, 1, 2, 3})
def test_finite_input_gives_finite_output(case, kind, seed, ones):
    check_finite(case, kind, seed, ones)


@cases(CASES, [*WAVES, *OWN, "sliding"])
@property_test
@given(seed=seeds, exponent=exponents)
@example(seed=0, exponent=90)
@example(seed=0, exponent=-90)
def test_gain_does_not_change_the_output(case, seed, exponent):
    check_gain(case, seed, exponent)


@cases(CASES, RELAXED)
@property_test
@given(seed=seeds, exponent=exponents)
@example(seed=0, exponent=90)
def test_amplification_does_not_change_relaxed_output(case, seed, exponent):
    "Quiet spectrograms are limited by the `eps` of these transforms."
    check_gain(case, seed, abs(exponent))


@cases(CASES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_floating_types_are_kept_and_integers_become_float32(case, dtype, device):
    check_number_type(case, dtype, device, dtype if dtype.is_floating_point else torch.float32)


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


@cases(CASES)
@property_test
@given(kind=kinds, seed=seeds)
def test_a_clip_does_not_depend_on_others_in_its_batch(case, kind, seed):
    check_independence(case, kind, seed, nan=case.kind != "wave")  # transforms of waveforms refuse NaN


@cases(CASES)
def test_complex_numbers_are_refused(case):
    check_complex_is_refused(case)


@cases(CASES)
def test_a_wrong_number_of_dimensions_is_refused(case):
    check_wrong_shapes_are_refused(case, [(50,)] if case.kind == "wave" else [(12, 40), (1, 1, 1, 12, 40)])


@pytest.mark.parametrize("name", CASES)
def test_empty_input_gives_empty_output_or_is_refused(name):
    full = SHAPES[CASES[name].kind]
    refuses = name in OWN or isinstance(WAVES.get(name), AudioNormalize)
    for dim in range(len(full)):
        shape = [0 if d == dim else n for d, n in enumerate(full)]
        if dim == 2 and CASES[name].per_bin and not refuses:
            continue  # statistics per bin do not fit a spectrogram without bins
        with pytest.raises(ValueError, match=re.escape(str(shape))) if refuses else nullcontext():
            assert list(CASES[name](torch.rand(shape)).shape) == shape
