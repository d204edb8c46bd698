"""Statistics of pretrained networks."""

import pytest
import torch
from fastai.torch_core import TensorImageBase

from fastaudio_norm.transforms import SpecNormalize, ast_stats, beats_stats


@pytest.mark.parametrize("stats", [ast_stats, beats_stats])
def test_constants_of_pretrained_networks_are_applied(stats):
    x = torch.randn(2, 1, 128, 30) * 4 + 2
    out = SpecNormalize.from_stats(stats)(TensorImageBase(x))
    assert torch.allclose(out.as_subclass(torch.Tensor), (x - stats.mean) / stats.std, atol=1e-5)
    assert ast_stats.std == pytest.approx(9.138, abs=1e-3) and beats_stats.std == pytest.approx(2 * 6.55582)


def test_options_of_the_transform_apply_to_constants_too():
    with pytest.raises(ValueError, match="uses statistics of each clip"):
        SpecNormalize.from_stats(ast_stats, axes=(2, 3))
    x = TensorImageBase(torch.randn(2, 1, 128, 30))
    half, whole = (SpecNormalize.from_stats(ast_stats, method="minmax", feature_range=r)(x) for r in ((0, 0.5), (0, 1)))
    assert torch.allclose(2 * half, whole, atol=1e-5)
