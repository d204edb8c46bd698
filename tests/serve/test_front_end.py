"""Layers of the front end do what the transforms of the loaders do."""

import torch
from fastaudio.core.signal import AudioTensor
from torch import nn

from fastaudio_norm.audio import ActiveCrop
from fastaudio_norm.serve.front_end import LoudestCrop, Pad

ANY = torch.export.Dim.AUTO


def test_loudest_crop_equals_active_crop_in_validation():
    crop, layer = ActiveCrop(0.25), nn.Sequential(Pad(4000), LoudestCrop(4000))
    with torch.fx.experimental._config.patch(backed_size_oblivious=True):  # as `SoundClassifier.program` does
        program = torch.export.export(layer, (torch.randn(2, 2, 9000),), dynamic_shapes=({0: ANY, 2: ANY},)).module()
    for samples in (9000, 4001, 4000, 100):
        x = torch.randn(3, 2, samples) * torch.rand(3, 1, samples).cumsum(-1)
        expected = torch.stack([crop(AudioTensor(clip, sr=16000), split_idx=1).as_subclass(torch.Tensor) for clip in x])
        assert torch.equal(layer(x), expected) and torch.equal(program(x), expected)


def test_pad_fills_short_clips_only():
    for samples in (1, 9, 10, 30):
        assert Pad(10)(torch.ones(1, 1, samples)).shape[-1] == max(10, samples)
