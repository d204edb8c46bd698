"""Reduced recorders against recorders that counted with the same dimensions."""

import pytest
import torch
from recorders import assert_same, recorded

from fastaudio_norm.stats import StatsRecorder, common_recorder


@pytest.mark.parametrize("quantiles", [False, True])
@pytest.mark.parametrize("over", [(0, 3), (0,)])
def test_reducing_equals_recording_with_more_dimensions(over, quantiles):
    parts = [torch.randn(n, 2, 6, 9) * torch.rand(6, 1) * 30 - 50 for n in (4, 1, 7)]
    finest = recorded(parts, over, quantiles=quantiles)
    for red_dims in [(0, 2, 3), (0, 1, 3), (0, 1, 2, 3), (0, 3)]:
        assert_same(finest.reduced(red_dims), recorded(parts, red_dims, quantiles=quantiles))
    with pytest.raises(ValueError, match="cannot be reduced to"):
        finest.reduced((1, 2))


def test_a_common_recorder_counts_for_several_recorders():
    parts = [torch.randn(n, 2, 6, 9) - 50 for n in (4, 1, 7)]
    options = {(0, 2, 3): {"correction": 0}, (0, 1, 3): {"quantiles": True}, (3, 0): {}}
    wanted = [StatsRecorder(red_dims, **o) for red_dims, o in options.items()]
    shared = common_recorder(wanted)
    assert set(shared.red_dims) == {0, 3} and shared.quantiles and shared.nonfinite == "raise"
    for part in parts:
        shared.update(part)
    for recorder in wanted:
        recorder.merge(shared.reduced(recorder.red_dims))
        assert_same(recorder, recorded(parts, recorder.red_dims, **options[recorder.red_dims]))
    assert common_recorder([StatsRecorder(nonfinite="skip")]).nonfinite == "skip"
