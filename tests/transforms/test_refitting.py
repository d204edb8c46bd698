"""A `SpecNormalize` that is set up again, such as for the next fold, has the statistics of the new training split."""

import pickle
import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from fastai.data.core import TfmdDL
from fastai.data.transforms import ToTensor
from fastai.torch_core import TensorImageBase

from fastaudio_norm.audio import SPECS, cached_clips
from fastaudio_norm.data import get_dls
from fastaudio_norm.transforms import SpecNormalize


@pytest.fixture(scope="module")
def clips(made_up):
    from fastaudio_norm.data import read_esc50

    return cached_clips(read_esc50(made_up), made_up)


def set_up(norm, made_up, df, clips, fold):
    return get_dls(df, made_up, fold=fold, bs=8, batch_tfms=[SPECS["mel"](), norm], clips=clips, num_workers=0)


def statistics(norm):
    return torch.stack([norm.mean.flatten(), norm.std.flatten()])


@pytest.mark.parametrize("method", ["zscore", "robust"])
def test_a_fitted_transform_is_fitted_again_and_says_so(made_up, df, clips, method):
    reused = SpecNormalize(axes=(0, 1, 3), method=method)
    set_up(reused, made_up, df, clips, 1)
    for fold in (2, 5):
        fresh = SpecNormalize(axes=(0, 1, 3), method=method)
        set_up(fresh, made_up, df, clips, fold)
        with pytest.warns(UserWarning, match="fitted again.*one for each fold"):
            set_up(reused, made_up, df, clips, fold)
        assert torch.equal(statistics(reused), statistics(fresh))


def test_the_same_training_split_gives_no_warning(made_up, df, clips):
    norm = SpecNormalize()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            set_up(norm, made_up, df, clips, 1)


def test_given_statistics_stay(made_up, df, clips):
    fitted = SpecNormalize(axes=(0, 1, 3))
    set_up(fitted, made_up, df, clips, 1)
    expected = statistics(fitted)
    copies = (
        SpecNormalize(fitted.mean, fitted.std, axes=(0, 1, 3)),
        pickle.loads(pickle.dumps(fitted)),  # as in an exported learner
        deepcopy(fitted),
    )
    for norm in copies:
        set_up(norm, made_up, df, clips, 2)
        assert torch.equal(statistics(norm), expected)


def test_a_validation_loader_does_not_change_the_statistics():
    "fastai's `DataLoaders.from_dsets` sets the transforms up for each of its loaders."
    specs = [TensorImageBase(torch.randn(1, 4, 9) + i) for i in range(4)]
    norm = SpecNormalize()
    TfmdDL(specs[:2], bs=2, shuffle=True, num_workers=0, after_item=ToTensor(), after_batch=norm)
    expected = torch.stack(specs[:2]).double().mean().item()
    assert np.isclose(norm.mean.item(), expected)
    TfmdDL(specs[2:], bs=2, shuffle=False, num_workers=0, after_item=ToTensor(), after_batch=norm)
    assert np.isclose(norm.mean.item(), expected)


@pytest.mark.parametrize("axes", [(0, 1, 3), (3,)])
def test_a_transform_that_was_made_and_used_for_inference_works_in_training(axes):
    with torch.inference_mode():
        statistics = (torch.zeros(4, 1), torch.ones(4, 1, dtype=torch.float64)) if 0 in axes else ()
        norm = SpecNormalize(*statistics, axes=axes)
        loaded = pickle.loads(pickle.dumps(norm))
        layer = norm.as_module()
        for transform in (norm, loaded):
            transform(TensorImageBase(torch.randn(2, 1, 4, 9)))
    layer(torch.randn(2, 1, 4, 9, requires_grad=True)).square().sum().backward()
    for transform in (norm, loaded):
        for dtype in (torch.float32, torch.float64):
            x = torch.randn(2, 1, 4, 9, dtype=dtype, requires_grad=True)
            transform(TensorImageBase(x)).as_subclass(torch.Tensor).square().sum().backward()
            assert x.grad.isfinite().all()
