"""Groups of clips follow the clips through operations, and are reported as lost where they would be wrong."""

import pickle

import pytest
import torch
from fastaudio.core.signal import AudioTensor
from fastaudio.core.spectrogram import AudioSpectrogram

from fastaudio_norm.compat.groups import GroupedFile, group_name, with_group

NAMES = ("phone", "tablet", "watch", "phone", "radio")


def batch_of(names=NAMES, cls=AudioTensor):
    "Clip i consists of the number i."
    shape = (1, 6) if cls is AudioTensor else (1, 3, 6)
    return torch.stack([with_group(torch.full(shape, float(i)).as_subclass(cls), n) for i, n in enumerate(names)])


MOVES = {
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(2, 0),
    "slice": lambda x: x[1:4],
    "step": lambda x: x[::2],
    "list": lambda x: x[[4, 0, 2]],
    "mask": lambda x: x[x.flatten(1).amax(1) > 1],
    "tensor": lambda x: x[torch.tensor([3, 1])],
    "tuple": lambda x: x[[2, 1], ..., 1:],
    "index_select": lambda x: x.index_select(0, torch.tensor([1, 1, 0])),
    "narrow": lambda x: x.narrow(0, 2, 2),
    "split": lambda x: x.split(2)[1],
    "chunk": lambda x: x.chunk(2)[0],
    "unbind": lambda x: x.unbind(0)[2][None],
    "item": lambda x: x[4][None],
    "iterate": lambda x: list(x)[1][None],
    "stack": lambda x: torch.stack([x[3], x[1]]),
    "cat": lambda x: torch.cat([x[3:], x[:2]]),
    "crop": lambda x: x[..., 2:4],
    "flip time": lambda x: x.flip(-1),
    "roll time": lambda x: x.roll(1, -1),
    "repeat": lambda x: x.repeat(2, *[1] * (x.ndim - 1)),
    "permute": lambda x: x.transpose(-1, -2),
    "clone": lambda x: x.clone(),
    "dtype": lambda x: x.double(),
    "arithmetic": lambda x: 0 * torch.ones(6) + x * 1,
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "pad": lambda x: torch.nn.functional.pad(x, (0, 2)),
    "where": lambda x: torch.where(x > 9, 0, x),
    "flip and roll": lambda x: x.flip(0).roll(1, 0),
}


@pytest.mark.parametrize("cls", [AudioTensor, AudioSpectrogram])
@pytest.mark.parametrize("name", MOVES)
def test_each_clip_keeps_its_group(name, cls):
    "The values say which clips are in the result, in which order."
    out = MOVES[name](batch_of(cls=cls))
    expected = tuple(NAMES[int(clip.flatten()[0])] for clip in out.as_subclass(torch.Tensor))
    assert out.groups == expected or (len(set(expected)) == 1 and out.groups == expected[:1])


@pytest.mark.parametrize("seed", range(20))
def test_random_indices(seed):
    torch.manual_seed(seed)
    x = batch_of([f"g{i}" for i in torch.randint(0, 4, (7,)).tolist()])
    rows = torch.randint(0, 7, (int(torch.randint(1, 9, ())),))
    expected = tuple(x.groups[i] for i in rows) if len(x.groups) > 1 else x.groups
    assert x[rows].groups in (expected, expected[:1])
    if len(set(expected)) > 1:
        assert x[rows].groups == expected


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + x.flip(0),
        lambda x: (x + x.flip(0)) * 2,
        lambda x: x.mean(0),
        lambda x: x.transpose(0, 1),
        lambda x: x.sort(0)[0],
        lambda x: x.reshape(-1, 3),
        lambda x: torch.stack([x[0], AudioTensor(torch.ones(1, 6), sr=6)]),
        lambda x: torch.cat([x, AudioTensor(torch.ones(1, 1, 6), sr=6)]),
    ],
)
def test_mixtures_have_lost_their_groups(mix):
    assert isinstance(mix(batch_of()).groups, str)


def test_clips_of_one_group_never_lose_it():
    x = batch_of(["phone"] * 5)
    for out in (x.sort(0)[0], x + x.flip(0), x.mean(0), x[2], x.reshape(-1, 2, 3)):
        assert out.groups == ("phone",)


@pytest.mark.parametrize("missing", [None, float("nan"), "", " ", True, 1.5, ["phone"]])
def test_what_is_not_a_name_is_refused(missing):
    with pytest.raises(ValueError, match='such as "unknown"'):
        group_name(missing)
    with pytest.raises(ValueError, match='such as "unknown"'):
        GroupedFile("a.wav", missing)
