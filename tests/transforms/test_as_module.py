"""Layers from `as_module` equal their transforms, also as exported graphs."""

import json

import pytest
import torch
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fastaudio_norm.transforms import SPEC_NORMS, WAVE_NORMS, AudioNormalize, SlidingNormalize, SpecNormalize

SR, ANY = 8000, torch.export.Dim.AUTO


def plain(x):
    return x.as_subclass(torch.Tensor)


def graph(layer, example, *dynamic):
    return torch.export.export(layer, (example,), dynamic_shapes=({dim: ANY for dim in dynamic},)).module()


def spectrograms(batch=3, frames=90, power=False, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 1, 12, frames, generator=rng) * 9 - 50
    return 10 ** (x / 10) if power else x


def fitted(name):
    norm = SPEC_NORMS[name].make()
    if getattr(norm, "of_dataset", False):
        rng = torch.Generator().manual_seed(1)
        shape = [1, 1, 1, 1] if 2 in norm.axes else [1, 1, 12, 1]
        return SpecNormalize(
            torch.randn(shape, generator=rng) - 50, torch.rand(shape, generator=rng) + 5, norm.axes, norm.method
        )
    return norm


@pytest.mark.parametrize("name", SPEC_NORMS)
def test_spectrogram_layers_and_their_graphs_equal_the_transforms(name):
    norm, power = fitted(name), name == "pcen"
    layer = norm.as_module(SR / 128) if power else norm.as_module()
    exported = graph(layer, spectrograms(power=power), 0, 3)
    for batch, frames in ((3, 90), (1, 200), (5, 64), (2, 3)):
        x = spectrograms(batch, frames, power, seed=frames)
        settings = {"sr": SR, "hop_length": 128, "to_db": not power}
        expected = plain(norm(AudioSpectrogram.create(x.clone(), settings=settings)))
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(exported(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", WAVE_NORMS)
def test_waveform_layers_and_their_graphs_equal_the_transforms(name):
    norm = WAVE_NORMS[name].make()
    layer = norm.as_module(SR)
    x = torch.randn(2, 2, 3 * SR, generator=torch.Generator().manual_seed(0)) / 10 + 0.02
    if name == "loudness":
        with pytest.raises(ValueError, match="cannot be exported: use rms"):
            graph(layer, x, 0, 2)
    exported = layer if name == "loudness" else graph(layer, x, 0, 2)
    for samples in (3 * SR, SR, 10 * SR):
        x = torch.randn(2, 2, samples, generator=torch.Generator().manual_seed(samples)) / 30 + 0.01
        expected = plain(norm(AudioTensor(x.clone(), sr=SR)))
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(exported(x), expected, rtol=1e-4, atol=1e-5)


def test_a_layer_normalizes_each_channel_separately():
    x = torch.randn(2, 3, SR) * torch.tensor([1.0, 2.0, 3.0])[:, None]
    norm = AudioNormalize("rms", per_channel=True)
    torch.testing.assert_close(norm.as_module(SR)(x), plain(norm(AudioTensor(x, sr=SR))))


def test_layers_turn_constant_input_into_zeros():
    for norm in (SpecNormalize(axes=(3,)), SpecNormalize(axes=(2, 3), method="robust"), SlidingNormalize(20)):
        assert torch.equal(norm.as_module()(torch.full((1, 1, 4, 50), -100.0)), torch.zeros(1, 1, 4, 50))
    for norm in WAVE_NORMS.values():
        assert torch.equal(norm.make().as_module(SR)(torch.zeros(1, 1, SR)), torch.zeros(1, 1, SR))


@pytest.mark.parametrize("name", [*WAVE_NORMS, *SPEC_NORMS])
def test_layers_can_be_built_again_from_options_and_state(name):
    norm = WAVE_NORMS[name].make() if name in WAVE_NORMS else fitted(name)
    layer = norm.as_module(SR / 128) if name == "pcen" else norm.as_module()
    rebuilt = type(layer)(**json.loads(json.dumps(layer.options)))
    rebuilt.load_state_dict(layer.state_dict())
    x = torch.randn(2, 1, 16000) if name in WAVE_NORMS else spectrograms(power=name == "pcen")
    assert torch.equal(rebuilt(x), layer(x))


PER_CLIP = [name for name, norm in SPEC_NORMS.items() if not getattr(norm.make(), "of_dataset", False)]


class OneDevice(TorchDispatchMode):
    "Refuse operations on tensors of several devices, as CUDA does; only scalars may be elsewhere."

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor) and x.ndim]
        assert len({x.device for x in tensors}) <= 1 or "copy" in func.__name__, func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [*(name for name in PER_CLIP if name != "pcen"), "wave", "rms", "peak", "short-time"])
def test_layers_compute_on_the_device_of_their_input(name):
    "On the meta device, which needs no GPU. It lacks autocast, which PCEN needs."
    norm, shape = (SPEC_NORMS[name], (2, 1, 8, 40)) if name in SPEC_NORMS else (WAVE_NORMS[name], (2, 1, 16000))
    layer = norm.make().as_module().to("meta")
    with OneDevice():
        out = layer(torch.zeros(shape, device="meta"))
    assert out.device.type == "meta" and out.shape == shape
