"""Every layer, given values, types and shapes that data rarely has."""

from extreme_inputs import (
    BINS,
    SPECS,
    SR,
    WAVES,
    Case,
    cases,
    check_complex_is_refused,
    check_finite,
    check_gain,
    check_gradients,
    check_independence,
    check_wrong_shapes_are_refused,
    dimensions,
    exponents,
    kind_of,
    kinds,
    mild_kinds,
    property_test,
    seeds,
    short_clips,
)
from hypothesis import example, given

from fastaudio_norm.layers import PCENLayer

FRAME_RATE = SR / 128  # Hz
CASES = {
    **{name: Case(norm.as_module(SR), "wave", is_layer=True) for name, norm in WAVES.items()},
    **{
        name: Case(
            norm.as_module(FRAME_RATE) if name == "pcen" else norm.as_module(),
            kind_of(name),
            is_layer=True,
            per_bin=name.startswith("channel"),
        )
        for name, norm in SPECS.items()
    },
    "trained pcen": Case(PCENLayer(BINS, FRAME_RATE).requires_grad_(False), "power", is_layer=True, per_bin=True),
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


@cases(CASES, ["local"])
@property_test
@given(seed=seeds, exponent=exponents)
@example(seed=0, exponent=90)
@example(seed=0, exponent=-90)
def test_gain_does_not_change_the_output(case, seed, exponent):
    check_gain(case, seed, exponent)


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
    check_independence(case, kind, seed, nan=True)


@cases(CASES)
def test_complex_numbers_are_refused(case):
    check_complex_is_refused(case)


@cases(CASES, WAVES)
def test_a_wrong_number_of_dimensions_is_refused(case):
    check_wrong_shapes_are_refused(case, [(50,)])
