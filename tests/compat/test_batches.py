"""fastaudio's transforms on batches: each item of a batch is treated like a single item."""

import pytest
import torch
from fastaudio.augment.preprocess import RemoveSilence, Resample
from fastaudio.augment.signal import (
    AddNoise,
    AddNoiseGPU,
    AudioPadType,
    ChangeVolumeGPU,
    DownmixMono,
    ResizeSignal,
    SignalCutout,
    SignalLoss,
    SignalShifter,
)  # fmt: skip
from fastaudio.augment.spectrogram import (
    CropTime,
    Delta,
    MaskFreq,
    MaskFreqGPU,
    MaskTime,
    MaskTimeGPU,
    SGRoll,
    TfmResize,
    TfmResizeGPU,
)  # fmt: skip
from fastaudio.core.config import AudioConfig
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioToMFCC, AudioToSpec

SR = 16000
DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]


def make_clips(channels, n=4):
    return AudioTensor(torch.randn(n, channels, SR) * torch.linspace(0.1, 0.4, n)[:, None, None], sr=SR)


def make_specs(channels, n=4):
    return AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=64, n_fft=1024))(make_clips(channels, n))


@pytest.fixture(params=[1, 2], ids=["mono", "stereo"])
def channels(request):
    return request.param


DETERMINISTIC = {
    "Resample": (make_clips, lambda: Resample(8000)),
    "DownmixMono": (make_clips, DownmixMono),
    "ResizeSignal": (make_clips, lambda: ResizeSignal(1500, AudioPadType.Zeros_After)),
    "ResizeSignal repeat": (make_clips, lambda: ResizeSignal(2500, AudioPadType.Repeat)),
    "CropTime repeat": (make_specs, lambda: CropTime(2500, AudioPadType.Repeat)),
    "MaskFreq": (make_specs, lambda: MaskFreq(start=7)),
    "MaskTime": (make_specs, lambda: MaskTime(start=7)),
    "Delta": (make_specs, Delta),
    "TfmResize": (make_specs, lambda: TfmResize((20, 30))),
    "TfmResizeGPU": (make_specs, lambda: TfmResizeGPU((20, 30))),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_batch_equals_its_items(name, channels, device):
    make, transform = DETERMINISTIC[name]
    x = make(channels)
    items = [transform()(item.clone(), split_idx=0) for item in x]
    out = transform()(x.clone().to(device), split_idx=0)
    assert type(out) is type(x) and out.device.type == device
    assert torch.allclose(torch.stack(items), out.cpu(), atol=1e-5) and out.shape == (4, *items[0].shape)
    assert {k: v for k, v in vars(out).items() if k == "sr"} == {k: v for k, v in vars(items[0]).items() if k == "sr"}


RANDOM = {
    "AddNoise": (make_clips, lambda: AddNoise(p=1.0)),
    "AddNoise pink": (make_clips, lambda: AddNoise(p=1.0, color=1)),
    "AddNoiseGPU": (make_clips, lambda: AddNoiseGPU(min_level=0.1, max_level=0.2)),
    "ResizeSignal": (make_clips, lambda: ResizeSignal(500)),
    "SignalCutout": (make_clips, lambda: SignalCutout(p=1.0, max_cut_pct=0.9)),
    "SignalLoss": (make_clips, lambda: SignalLoss(p=1.0)),
    "SignalShifter": (make_clips, lambda: SignalShifter(p=1.0)),
    "SignalShifter roll": (make_clips, lambda: SignalShifter(p=1.0, roll=True)),
    "SignalShifter of spectrograms": (make_specs, lambda: SignalShifter(p=1.0, max_pct=0.9)),
    "CropTime": (make_specs, lambda: CropTime(500)),
    "CropTime longer": (make_specs, lambda: CropTime(2000)),
    "MaskFreq": (make_specs, MaskFreq),
    "MaskTime": (make_specs, MaskTime),
    "MaskFreqGPU": (make_specs, lambda: MaskFreqGPU(min_size=5)),
    "MaskTimeGPU": (make_specs, lambda: MaskTimeGPU(min_size=5)),
    "SGRoll": (make_specs, lambda: SGRoll(max_shift_pct=0.9)),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", RANDOM)
def test_batch_has_the_shape_of_its_items_and_every_item_changes(name, channels, device):
    make, transform = RANDOM[name]
    x = make(channels)
    item = transform()(x[0].clone(), split_idx=0)
    out = transform()(x.clone().to(device), split_idx=0)
    assert type(out) is type(x) and out.device.type == device and vars(out).keys() >= vars(x).keys()
    assert out.shape == (4, *item.shape) and out.isfinite().all()
    assert all(new.shape != old.shape or not torch.equal(new.cpu(), old) for new, old in zip(out, x))


@pytest.mark.parametrize("transform, dim", [(MaskFreq, -2), (MaskTime, -1)])
@pytest.mark.parametrize("val", [None, 0, -7.5])
def test_masks_cover_one_band_of_each_item(transform, dim, val, channels):
    x = make_specs(channels)
    out = transform(size=9, val=val)(x.clone())
    starts = set()
    for new, old in zip(out, x):
        changed = (new != old).movedim(dim, 0).flatten(1).any(1).nonzero().flatten().tolist()
        assert changed == list(range(changed[0], changed[0] + 9))
        starts.add(changed[0])
        band = new.movedim(dim, 0)[changed].movedim(0, dim)
        expected = old.mean((-2, -1), keepdim=True) if val is None else torch.full((channels, 1, 1), float(val))
        assert torch.allclose(band, expected.expand_as(band), atol=1e-4)
    assert len(starts) > 1  # each item has its own position


@pytest.mark.parametrize("make, transform", [(make_clips, ResizeSignal(250)), (make_specs, CropTime(250))])
def test_crops_are_pieces_of_their_items(make, transform, channels):
    x = make(channels)
    for new, old in zip(transform(x.clone()), x):
        assert any(torch.equal(new, piece) for piece in old.unfold(-1, new.shape[-1], 1).movedim(-2, 0))


def test_items_of_different_lengths_are_refused():
    x = make_clips(1) * 0.001
    for i, clip in enumerate(x):
        clip[:, 2000 : 3000 + 1000 * i] += 1
    with pytest.raises(ValueError, match="RemoveSilence returned items of different sizes: move it from batch_tfms"):
        RemoveSilence()(x)
    assert len({RemoveSilence()(clip).shape for clip in x}) == 4


@pytest.mark.parametrize("transform, dim", [(MaskFreqGPU, -2), (MaskTimeGPU, -1)])
@pytest.mark.parametrize("val", [0, 3.0])
def test_mask_value_zero_is_a_value(transform, dim, val, channels):
    x = make_specs(channels) - 100
    for new in transform(min_size=5, max_size=9, mask_val=val)(x.clone()):
        masked = (new == val).movedim(dim, 0).flatten(1)
        assert 5 <= masked.all(1).sum() <= 9 and torch.equal(masked.all(1), masked.any(1))


@pytest.mark.parametrize("direction", [-1, 1])
def test_shift_of_a_spectrogram_is_at_most_max_time(direction):
    spec = make_specs(1)[0] + 200
    shifter = SignalShifter(p=1.0, max_time=0.25, direction=direction)
    limit = 0.25 * SR / spec.hop_length
    for _ in range(10):
        out = shifter(spec.clone(), split_idx=0)
        empty = (out == 0).all(1).flatten().sum().item()
        assert empty <= limit
        kept = out[..., empty:] if direction == 1 else out[..., : spec.width - empty]
        assert torch.equal(kept, spec[..., : spec.width - empty] if direction == 1 else spec[..., empty:])


@pytest.mark.parametrize("transform", [AddNoise(p=1.0), ChangeVolumeGPU(p=1.0), DownmixMono(), Resample(8000)])
def test_transforms_of_waveforms_report_spectrograms(transform):
    spec = make_specs(2)
    with pytest.warns(UserWarning, match=f"{type(transform).__name__} changes waveforms only.*before AudioToSpec"):
        assert torch.equal(transform(spec, split_idx=0), spec)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("melkwargs", [{"n_mels": 40}, {"n_mels": 40, "n_fft": 1024, "hop_length": 512}])
def test_mfccs_know_their_duration(melkwargs, device, channels):
    mfcc = AudioToMFCC(n_mfcc=13, melkwargs=melkwargs)(make_clips(channels).to(device))
    assert mfcc.shape[:3] == (4, channels, 13) and mfcc.device.type == device
    assert mfcc.duration == pytest.approx(1, abs=0.05)
