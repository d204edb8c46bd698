"""Time and accuracy of normalizing a batch, compared with other libraries in the same run.

    uv run bench/transforms.py [--device cuda]

Buffers rotate and contenders take turns. Every contender gets the batch in the layout that it expects.
"""

import argparse

import librosa

import fastaudio_norm  # noqa: F401  before torchaudio, which may be compiled for another version of CUDA

# isort: split
import torch
import torchaudio
from fastai.data.transforms import Normalize
from fastai.torch_core import TensorImage, TensorImageBase
from timing import median_ms, where

from fastaudio_norm.all import (
    PCEN,
    AudioSpectrogram,
    AudioTensor,
    RelaxedFreqNormalize,
    SlidingNormalize,
    SpecNormalize,
)
from fastaudio_norm.audio import SPECS
from fastaudio_norm.layers import smoothing_coefficient


def print_costs(title, contenders, baselines, args, reference=None):
    "Print a row for each contender: time, multiples of the times of `baselines`, and error."
    print(f"\n{title:46}{'ms':>8}" + "".join(f"{f'x {name}':>16}" for name in baselines) + f"{'error':>10}")
    for name, ms in (median := median_ms(contenders, args.rounds, args.device)).items():
        ratios = "".join(f"{ms / median[baseline]:16.2f}" for baseline in baselines.values())
        f, batches = contenders[name]
        error = "" if reference is None or name == "x.clone()" else f"{reference(name, f(batches[0])):10.1e}"
        print(f"{name:46}{ms:8.2f}{ratios}{error}")


def largest(expected):
    "Function that returns the largest difference to `expected`, in any layout."

    def error(name, found):
        found = torch.as_tensor(found).as_subclass(torch.Tensor).double().cpu().reshape(expected[name].shape)
        return (found - expected[name]).abs().max().item()

    return error


def normalize(args):
    buffers = [torch.randn(64, 1, 201, 401, device=args.device) * 20 - 60 for _ in range(8)]
    specs, images = ([kind(x) for x in buffers] for kind in (TensorImageBase, TensorImage))
    halves = [TensorImageBase(x.half()) for x in buffers]
    for title, axes in (("One mean and std", (0, 2, 3)), ("A mean and std per bin", (0, 1, 3))):
        std, mean = torch.std_mean(buffers[0], axes, keepdim=True)
        contenders = {
            "x.clone()": (torch.clone, buffers),
            "(x - mean) / std": (lambda x, mean=mean, std=std: (x - mean) / std, buffers),
            "fastai Normalize": (Normalize(mean, std, axes), images),
            "fastaudio_norm SpecNormalize": (SpecNormalize(mean, std, axes), specs),
            "fastaudio_norm SpecNormalize, float16": (SpecNormalize(mean, std, axes), halves),
        }
        expected = ((buffers[0].double() - mean.double()) / std.double()).cpu()
        reference = largest(dict.fromkeys(contenders, expected))
        print_costs(title, contenders, {"clone": "x.clone()", "(x-mean)/std": "(x - mean) / std"}, args, reference)
    own = {
        f"{axes} {method}": (SpecNormalize(axes=axes, method=method), specs)
        for axes in ((2, 3), (3,))
        for method in ("zscore", "minmax", "robust")
    } | {"relaxed": (RelaxedFreqNormalize(), specs)}

    def by_hand(x):
        return (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)

    contenders = {"x.clone()": (torch.clone, buffers), "(x - x.mean()) / x.std()": (by_hand, buffers), **own}
    print_costs("Statistics of each clip", contenders, {"clone": "x.clone()"}, args)


def pad(args):
    "Batches whose clips have one length, four lengths, or all different lengths."
    specs = [torch.randn(64, 1, 201, 401, device=args.device) * 20 - 60 for _ in range(8)]
    waves = [torch.randn(64, 1, 80000, device=args.device) for _ in range(8)]
    norms = {
        "(3,) zscore": SpecNormalize(axes=(3,)),
        "(2, 3) robust": SpecNormalize(axes=(2, 3), method="robust"),
        "relaxed": RelaxedFreqNormalize(),
        "sliding": SlidingNormalize(),
        "AudioToSpec": SPECS["mel"](),
    }
    fractions = {1: [1.0] * 64, 4: [1.0, 0.9, 0.7, 0.5] * 16, 64: [1 - i / 160 for i in range(64)]}
    contenders = {"x.clone()": (torch.clone, specs)}
    for name, norm in norms.items():
        for n, parts in fractions.items():
            if name == "AudioToSpec":
                batches = [AudioTensor(x[:], sr=16000) for x in waves]
            else:
                batches = [TensorImageBase(x[:]) for x in specs]
            for x in batches:
                if n > 1:
                    x.lengths = tuple(round(part * x.shape[-1]) for part in parts)
            contenders[f"{name}, lengths: {n}"] = norm, batches
    print_costs("Padded batches", contenders, {"clone": "x.clone()"}, args)


def slide(args):
    window, buffers = 300, [torch.randn(64, 1, 128, 500, device=args.device) * 20 - 60 for _ in range(8)]
    frames_first = [x.transpose(2, 3).contiguous() for x in buffers]
    for center in (True, False):

        def theirs(x, center=center):
            return torchaudio.functional.sliding_window_cmn(x, window, 100, center, norm_vars=True)

        ours = SlidingNormalize(window, center)
        contenders = {
            "x.clone()": (torch.clone, buffers),
            "torchaudio sliding_window_cmn": (theirs, frames_first),
            "fastaudio_norm SlidingNormalize": (ours, [TensorImageBase(x) for x in buffers]),
        }
        expected = theirs(frames_first[0].double().cpu())
        reference = largest(
            dict.fromkeys(contenders, expected.transpose(2, 3)) | {"torchaudio sliding_window_cmn": expected}
        )
        title = f"Window of 300 frames, {'centred' if center else 'up to the frame'}"
        print_costs(title, contenders, {"torchaudio": "torchaudio sliding_window_cmn"}, args, reference)


def pcen_loop(x, rate):
    b = smoothing_coefficient(0.4, rate)
    past, smooth = torch.ones_like(x[..., 0]), []
    for t in range(x.shape[-1]):
        past = b * x[..., t] + (1 - b) * past
        smooth.append(past)
    smooth = torch.stack(smooth, -1)
    return 2**0.5 * torch.expm1(0.5 * torch.log1p(x * (smooth + 1e-6) ** -0.98 / 2))


def pcen(args):
    rate = 22050 / 512
    buffers = [torch.rand(64, 1, 128, 500, device=args.device) ** 6 * 1e6 for _ in range(8)]
    settings = {"sr": 22050, "hop_length": 512, "to_db": False}
    contenders = {
        "librosa.pcen": (lambda x: librosa.pcen(x, sr=22050, hop_length=512), [x.cpu().numpy() for x in buffers]),
        "loop over frames in torch": (lambda x: pcen_loop(x, rate), buffers),
        "fastaudio_norm PCEN": (PCEN(scale=1.0), [AudioSpectrogram.create(x, settings=settings) for x in buffers]),
    }
    last = torch.from_numpy(librosa.pcen(buffers[0].double().cpu().numpy(), sr=22050, hop_length=512))

    def error(name, found):  # without the first frames, because libraries initialize the average differently
        found = torch.as_tensor(found).as_subclass(torch.Tensor).double().cpu()
        return (found / last - 1)[..., 400:].abs().max().item()

    print_costs("PCEN", contenders, {"librosa": "librosa.pcen"}, args, error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of eight timed batches")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    torch.manual_seed(0)
    print(
        f"float32, {where(args.device)}; batches of 64 x [1, 201, 401], and of 64 x [1, 128, 500] for windows and PCEN"
    )
    for bench in (normalize, pad, slide, pcen):
        bench(args)


if __name__ == "__main__":
    main()
