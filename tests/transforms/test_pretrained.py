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


def test_options_that_contradict_the_constants_are_refused():
    with pytest.raises(ValueError, match="uses statistics of each clip"):
        SpecNormalize.from_stats(ast_stats, axes=(2, 3))
    for method in ("minmax", "robust"):
        with pytest.raises(ValueError, match=f"are a mean and a divisor, .*got '{method}'"):
            SpecNormalize.from_stats(ast_stats, method=method)
    assert float(SpecNormalize.from_stats(ast_stats, method="zscore").mean) == pytest.approx(ast_stats.mean)
