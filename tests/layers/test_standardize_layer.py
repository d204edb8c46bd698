"""`SpecNorm`: statistics as buffers."""

import numpy as np
import torch

from fastaudio_norm.layers import SpecNorm
from fastaudio_norm.transforms import SpecNormalize


def test_statistics_of_a_training_set_are_buffers():
    "Buffers change dtype with the module and are part of the state dict."
    layer = SpecNormalize(2.0, 4.0).as_module().double()
    assert {name: t.dtype for name, t in layer.state_dict().items()} == dict.fromkeys(
        ["offset", "scale"], torch.float64
    )
    other = SpecNorm(**layer.options)
    other.load_state_dict(layer.state_dict())
    assert np.isclose(other(torch.full((1, 1, 1, 1), 10.0)).item(), 2.0)
    assert "shape=[1, 1, 1, 1]" in repr(layer)
