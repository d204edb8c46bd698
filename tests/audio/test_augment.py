"""Random crops, speed changes and SpecAugment."""

import random

import numpy as np
import pytest
import torch
from fastai.torch_core import TensorImageBase, TensorMask
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.audio.augment import ActiveCrop, FreqMixStyle, RandomChange, RandomSpeed, SpecAugment
from fastaudio_norm.audio.conditions import make_condition
from fastaudio_norm.audio.spectrograms import SPECS
from fastaudio_norm.data import get_dls
from fastaudio_norm.transforms import SpecNormalize

SR = 16000


def barks(at, seconds=5):
    t = torch.arange(seconds * SR) / SR
    sound = sum((t > s) * torch.exp(-30 * (t - s).clamp(min=0)) * torch.sin(2 * torch.pi * 500 * t) for s in at)
    return AudioTensor(sound[None] + 1e-4 * torch.randn(1, len(t)), sr=SR)


def test_random_crops_contain_sound_and_differ():
    clip, crop = barks([1.0, 4.0]), ActiveCrop(0.5, threshold=-40)
    crops = [crop(clip, split_idx=0) for _ in range(50)]
    assert {tuple(c.shape) for c in crops} == {(1, SR // 2)} and all(
        type(c) is AudioTensor and c.sr == SR for c in crops
    )
    least = clip.abs().max() ** 2 * 1e-4
    assert all(c.square().mean() >= 0.999 * least for c in crops)
    assert len({c.abs().sum().item() for c in crops}) > 30
    anywhere = [barks([1.0, 4.0])[:, s : s + SR // 2] for s in random.sample(range(4 * SR), 50)]
    assert any(c.square().mean() < least for c in anywhere)  # unlike plain random crops


def test_validation_crops_are_the_loudest_segment():
    clip = barks([1.0]) + 0.5 * barks([4.0])
    crop = ActiveCrop(0.5)
    out = crop(clip, split_idx=1)
    assert torch.equal(out, crop(clip, split_idx=1))
    energies = clip.as_subclass(torch.Tensor).double().square().unfold(-1, SR // 2, 1).sum(-1)[0]
    assert torch.equal(out, clip[:, energies.argmax() : energies.argmax() + SR // 2])
    click = AudioTensor(torch.zeros(1, SR), sr=SR)
    click[0, 5000] = 1.0  # no segment is loud enough: training takes the loudest one too
    assert ActiveCrop(0.5, threshold=-10)(click, split_idx=0).abs().max() == 1


def test_batches_are_cropped_clip_by_clip():
    clips = [barks([1.0]), barks([3.0]), AudioTensor(torch.zeros(1, 5 * SR), sr=SR)]
    batch = AudioTensor(torch.stack([c.as_subclass(torch.Tensor) for c in clips]), sr=SR)
    crop = ActiveCrop(0.5)
    out = crop(batch, split_idx=1)
    assert out.sr == SR and type(out) is AudioTensor
    assert all(torch.equal(a, crop(b, split_idx=1)) for a, b in zip(out, clips, strict=True))
    starts = [[(clip[0, : -SR // 2] == x[0, 0]).nonzero()[0].item() for clip, x in zip(clips, crop(batch, split_idx=0))]
              for _ in range(20)]  # fmt: skip
    assert len({start[0] for start in starts}) > 10 and len({start[1] - start[0] for start in starts}) > 10
    for clip, start in zip(clips[:2], zip(*starts)):
        assert all(clip[:, s : s + SR // 2].square().mean() >= 0.999e-4 * clip.abs().max() ** 2 for s in start)


@pytest.mark.parametrize("threshold", [-60.0, -20.0, -3.0])
def test_random_crops_reach_exactly_the_loud_segments(threshold):
    torch.manual_seed(0)
    clip = AudioTensor(torch.randn(1, 60) * torch.linspace(0.01, 1, 60), sr=10)
    power = clip.as_subclass(torch.Tensor).double().square()[0].unfold(-1, 20, 1).mean(-1)
    loud = set((power >= 10 ** (threshold / 10) * clip.abs().max().item() ** 2).nonzero().flatten().tolist())
    crop = ActiveCrop(2, threshold=threshold)
    batch = AudioTensor(clip.as_subclass(torch.Tensor).expand(3000, 1, 60), sr=10)
    seen = {(clip[0] == x).nonzero()[0].item() for x in crop(batch, split_idx=0)[:, 0, 0]}
    assert seen == (loud or {power.argmax().item()})


def test_clips_stay_whole_in_validation_if_asked():
    clip, crop = barks([1.0]), ActiveCrop(2, in_valid=False)
    assert crop(clip, split_idx=0).shape == (1, 2 * SR) and torch.equal(crop(clip, split_idx=1), clip)
    assert crop(clip[:, :SR], split_idx=1).shape == (1, 2 * SR)  # shorter clips are still padded


def test_speed_changes_pitch_and_length_in_training_only():
    t = torch.arange(2 * SR) / SR
    clip = AudioTensor(torch.sin(2 * torch.pi * 1000 * t).repeat(2, 1), sr=SR)
    seen = set()
    for _ in range(60):
        out = RandomSpeed((0.8, 1.0, 1.25))(clip, split_idx=0)
        factor = clip.shape[1] / out.shape[1]
        expected = torch.sin(2 * torch.pi * 1000 * factor * torch.arange(out.shape[1]) / SR)
        assert (out - expected)[:, 200:-200].abs().max() < 0.02 and out.sr == SR and type(out) is AudioTensor
        seen.add(round(factor, 2))
    assert seen == {0.8, 1.0, 1.25}
    assert torch.equal(RandomSpeed((0.8,))(clip, split_idx=1), clip)
    for wrong in ((), (1.0, 0.0)):
        with pytest.raises(ValueError, match="`factors` must be one or more positive numbers"):
            RandomSpeed(wrong)


def test_crops_of_short_silent_and_stereo_clips_have_the_right_length():
    crop = ActiveCrop(1)
    short = AudioTensor(torch.randn(2, 100), sr=SR)
    out = crop(short, split_idx=0)
    assert torch.equal(out[:, :100], short) and out.shape == (2, SR) and not out[:, 100:].any() and out.sr == SR
    assert crop(AudioTensor(torch.zeros(1, 2 * SR), sr=SR), split_idx=0).shape == (1, SR)
    with pytest.raises(ValueError, match="`seconds` must be positive, got 0"):
        ActiveCrop(0)


def test_loader_crops_training_clips_differently_in_each_epoch(df, made_up):
    norm = SpecNormalize()
    dls = get_dls(df, made_up, bs=8, item_tfms=[ActiveCrop(0.25)], batch_tfms=[SPECS["mel"](), norm], num_workers=0)
    ordered = dls.train.new(shuffle=False, drop_last=False)
    first, again = (torch.cat([x for x, _ in ordered]) for _ in range(2))
    assert first.shape[-1] == 8 and not torch.equal(first, again)
    assert torch.equal(*(torch.cat([x for x, _ in dls.valid]) for _ in range(2)))


def test_masks_contain_the_mean_in_training_only(df, made_up):
    tfms = [SpecAugment(), SPECS["mel"](), SpecNormalize(axes=(0, 1, 3))]  # listed first, applied last
    dls = get_dls(df, made_up, bs=8, batch_tfms=tfms, num_workers=0)
    train, valid = dls.train.one_batch()[0], dls.valid.one_batch()[0]
    assert (train == 0).float().mean() > 0.02 and not (valid == 0).any()
    assert type(train) is type(valid) and train.settings == valid.settings


def test_masks_cover_different_bands_of_each_clip():
    x = TensorImageBase(torch.randn(16, 2, 64, 100) + 5)
    before = x.clone()
    out = SpecAugment(n_freq=1, max_freq=10, n_time=0)(x, split_idx=0)
    assert torch.equal(x, before)
    hidden = out != x
    rows = hidden.any(-1).any(1)  # [clip, frequency]
    assert torch.equal(hidden, rows[:, None, :, None].expand_as(hidden)) and (rows.sum(1) <= 11).all()
    assert len(set(map(tuple, rows.tolist()))) > 3
    own = SpecAugment(max_freq=10, value=None)(x, split_idx=0)
    changed = (own != x)[3]
    assert torch.allclose(own[3][changed], x[3].mean().expand(int(changed.sum())), atol=1e-4)
    mask = TensorMask(torch.ones(2, 3, 4))
    assert SpecAugment()(mask, split_idx=0) is mask


@pytest.mark.parametrize("name", ["random-gain:10", "microphone:12", "reverberation:0.3"])
def test_each_clip_of_a_batch_is_changed_as_its_condition_defines(name):
    batch = AudioTensor(torch.randn(6, 2, SR // 4) * 0.1, sr=SR)
    torch.manual_seed(3)
    out = RandomChange(name)(batch, split_idx=0)
    torch.manual_seed(3)
    rng, condition = np.random.default_rng(torch.randint(2**62, ()).item()), make_condition(name)
    expected = [condition.draw(clip, SR, rng) if rng.random() < 0.5 else clip for clip in batch]
    assert torch.equal(out, torch.stack(expected)) and type(out) is AudioTensor and out.sr == SR
    changed = (out != batch).flatten(1).any(1)
    assert 0 < changed.sum() < 6
    assert torch.equal(RandomChange(name)(batch, split_idx=1), batch)


def test_random_gains_are_uniform_in_decibels():
    batch = AudioTensor(torch.ones(2000, 1, 8), sr=SR)
    db = 20 * RandomChange("random-gain:10", p=1)(batch, split_idx=0)[:, 0, 0].log10()
    assert -10 <= db.min() < -9.8 and 9.8 < db.max() <= 10 and abs(db.mean()) < 0.6
    assert abs(db.std() - 20 / 12**0.5) < 0.3


def test_a_change_does_not_reach_the_padding_and_keeps_lengths():
    batch = AudioTensor(torch.zeros(2, 1, SR), sr=SR)
    batch[0, :, : SR // 2], batch[1] = 0.1, 0.1
    batch.lengths = (SR // 2, SR)
    out = RandomChange("noise:0", p=1)(batch, split_idx=0)
    assert out.lengths == batch.lengths and not out[0, :, SR // 2 :].any() and out[0, :, : SR // 2].std() > 0
    single = AudioTensor(torch.full((1, SR), 0.1), sr=SR)
    assert RandomChange("gain:-20", p=1)(single, split_idx=0).shape == single.shape


def test_changes_follow_the_seed_and_differ_from_batch_to_batch():
    batch, tfm = AudioTensor(torch.randn(3, 1, SR // 4), sr=SR), RandomChange("microphone:12", p=1)
    torch.manual_seed(1)
    first, second = tfm(batch, split_idx=0), tfm(batch, split_idx=0)
    torch.manual_seed(1)
    assert torch.equal(tfm(batch, split_idx=0), first) and not torch.equal(first, second)


def freq_mixstyle(x, weight, other):
    "Reference of Freq-MixStyle in float64, clip by clip."
    out = np.empty_like(x)
    for i, j in enumerate(other):
        (mean, std), (new_mean, new_std) = (
            (x[k].mean(-1, keepdims=True), np.sqrt(x[k].var(-1, keepdims=True) + 1e-6)) for k in (i, j)
        )
        w = weight[i]
        out[i] = (w * std + (1 - w) * new_std) * (x[i] - mean) / std + w * mean + (1 - w) * new_mean
    return out


def test_freq_mixstyle_equals_its_formula():
    torch.manual_seed(0)
    x = TensorImageBase(10 * torch.randn(5, 2, 8, 30) - 40)
    torch.manual_seed(7)
    out = FreqMixStyle(p=1)(x, split_idx=0)
    torch.manual_seed(7)
    weight = torch.distributions.Beta(0.3, 0.3).sample((5, 1, 1, 1)).double().numpy()
    other = torch.randperm(5).numpy()
    np.testing.assert_allclose(out.numpy(), freq_mixstyle(x.double().numpy(), weight, other), atol=1e-4)
    assert torch.equal(FreqMixStyle(p=1)(x, split_idx=1), x) and torch.equal(FreqMixStyle(p=0)(x, split_idx=0), x)


def test_freq_mixstyle_does_not_count_padding():
    x = TensorImageBase(torch.randn(3, 1, 4, 20))
    padded = TensorImageBase(torch.nn.functional.pad(x, (0, 9), value=-100.0))
    padded.lengths = (20, 20, 20)
    padded[2, ..., 15:] = -100.0
    torch.manual_seed(2)
    out = FreqMixStyle(p=1)(padded, split_idx=0)
    assert out.lengths == padded.lengths and (out[..., 20:] == -100).all()
    padded.lengths = (20, 20, 15)
    torch.manual_seed(2)
    out = FreqMixStyle(p=1)(padded, split_idx=0)
    assert (out[2, ..., 15:] == -100).all() and out[2, ..., :15].abs().max() < 10


def test_freq_mixstyle_refuses_items_and_impossible_settings():
    with pytest.raises(ValueError, match=r"Expected spectrograms \[batch, channel, frequency, time\], got \[1, 8, 9\]"):
        FreqMixStyle(p=1)(TensorImageBase(torch.zeros(1, 8, 9)), split_idx=0)
    with pytest.raises(ValueError, match="`alpha` must be positive, got 0"):
        FreqMixStyle(alpha=0)
    mask = TensorMask(torch.zeros(2, 4, 4))
    assert FreqMixStyle(p=1)(mask, split_idx=0) is mask
