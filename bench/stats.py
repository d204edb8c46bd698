"""Compare the cost and the precision of running statistics with other libraries.

    uv run --group bench bench/stats.py [--clips FOLDER] [--device cuda]

Each contender updates its statistics with a batch of 64 spectrograms in float32, [64, 1, 201, 401], in the layout it
expects. The conversion to this layout is not timed. Costs are given in ms and as multiples of reading the batch once.
Eight batches rotate, because they do not fit into the caches, and contenders take turns. All contenders compute the
mean and standard deviation of each bin; fastaudio_norm also computes those of all bins together.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import torch

import fastaudio_norm  # noqa: F401  before torchaudio, which may be compiled for another version of CUDA

# isort: split
from lhotse.features.base import StatsAccumulator
from sklearn.preprocessing import StandardScaler
from speechbrain.processing.features import InputNormalization
from timing import median_ms, where

from fastaudio_norm.all import StatsRecorder, cached_clips, make_clips, read_esc50
from fastaudio_norm.audio.spectrograms import SPECS

ROOT = Path(__file__).parents[1]


def as_is(x):
    return x


def features_last(x):
    return x[:, 0].transpose(1, 2).contiguous()


def frames_by_features(x):
    return features_last(x).flatten(0, 1).cpu().numpy()


class Ours:
    layout = staticmethod(as_is)
    correction = 1

    def __init__(self, **options):
        self.recorder = StatsRecorder((0, 1, 3), **options)

    def update(self, x):
        self.recorder.update(x)
        self.of_all = self.recorder.reduced((0, 1, 2, 3))

    def found(self):
        return self.recorder.mean, self.recorder.std

    def found_of_all(self):
        return self.of_all.mean, self.of_all.std


class WithQuantiles(Ours):
    "Also records histograms. Leaves out the statistics of all bins, which need one merge of histograms at the end."

    def __init__(self):
        super().__init__(quantiles=True)
        self.update = self.recorder.update


class ByHand:
    "Running mean and std in the usual way: float32 values of each batch, merged by the number of items."

    layout = staticmethod(as_is)
    correction = 1
    n = 0

    def update(self, x):
        n, mean, std = len(x), x.mean((0, 1, 3)), x.std((0, 1, 3))
        if self.n == 0:
            self.n, self.mean, self.std = n, mean, std
            return
        a, b, total = self.n, n, self.n + n
        shift = (self.mean - mean).square()
        self.std = (a / total * self.std.square() + b / total * std.square() + a * b / total**2 * shift).sqrt()
        self.mean, self.n = a / total * self.mean + b / total * mean, total

    def found(self):
        return self.mean, self.std


class VarMean:
    "`torch.var_mean` of each batch, merged in float64."

    layout = staticmethod(as_is)
    correction = 1
    n = 0

    def update(self, x):
        var, mean = (s.double() for s in torch.var_mean(x, (0, 1, 3), correction=0))
        n = x.numel() // mean.numel()
        if self.n == 0:
            self.n, self.mean, self.m2 = n, mean, var * n
            return
        total, delta = self.n + n, mean - self.mean
        self.m2 = self.m2 + var * n + delta.square() * (self.n * n / total)
        self.mean, self.n = self.mean + delta * (n / total), total

    def found(self):
        return self.mean, (self.m2 / (self.n - 1)).sqrt()


class ScikitLearn:
    layout = staticmethod(frames_by_features)
    correction = 0

    def __init__(self):
        self.scaler = StandardScaler()
        self.update = self.scaler.partial_fit

    def found(self):
        return self.scaler.mean_, np.sqrt(self.scaler.var_)


class SpeechBrain:
    "The running statistics of `InputNormalization`; the batch is not normalized."

    layout = staticmethod(features_last)
    correction = 0

    def __init__(self):
        self.norm = InputNormalization()

    def update(self, x):
        mask = torch.ones((*x.shape[:2], 1), dtype=torch.bool, device=x.device)
        self.norm._update_global_stats(x, mask)

    def found(self):
        return self.norm.glob_mean, self.norm.glob_std


class Lhotse:
    layout = staticmethod(frames_by_features)
    correction = 0

    def __init__(self):
        self.accumulator = StatsAccumulator(201)
        self.update = self.accumulator.update

    def found(self):
        return self.accumulator.norm_means, self.accumulator.norm_stds


CONTENDERS = {
    "fastaudio_norm, per bin + global": Ours,
    "fastaudio_norm, with quantiles": WithQuantiles,
    "running mean/std by hand": ByHand,
    "torch.var_mean, float64 merge": VarMean,
    "scikit-learn StandardScaler": ScikitLearn,
    "SpeechBrain InputNormalization": SpeechBrain,
    "Lhotse StatsAccumulator": Lhotse,
}


def print_costs(rounds, device):
    buffers = [torch.randn(64, 1, 201, 401, device=device) * 20 - 60 for _ in range(8)]
    layouts = {layout: [layout(x) for x in buffers] for layout in (as_is, features_last, frames_by_features)}
    updates = {name: (kind().update, layouts[kind.layout]) for name, kind in CONTENDERS.items()}
    median = median_ms({"reading once, x.sum()": (torch.Tensor.sum, buffers), **updates}, rounds, device)
    read, ours = median["reading once, x.sum()"], median["fastaudio_norm, per bin + global"]
    print(f"{'':34}{'ms':>8}{'x reading':>12}{'x ours':>9}")
    for name, ms in median.items():
        print(f"{name:34}{ms:8.2f}{ms / read:12.1f}{ms / ours:9.1f}")


def recorded_spectrograms(folder):
    "Linear spectrograms in dB of all clips, in batches of 64."
    df = read_esc50(folder)
    clips = cached_clips(df, folder, seconds=5)
    to_spec = SPECS["linear"]()
    specs = torch.stack([torch.as_tensor(to_spec(clip)).as_subclass(torch.Tensor) for clip in clips.values()])
    return specs.split(64)


def datasets(clips):
    "Titles and batches of the four data sets. The last batch is smaller than the others."
    sizes = [64, 64, 23]
    recorded = recorded_spectrograms(clips)
    yield f"(i) {len(torch.cat(recorded))} clips of {Path(clips).name}, last batch {len(recorded[-1])}", recorded
    yield "(ii) mean 10,000, std 1", [torch.randn(n, 1, 201, 401) + 1e4 for n in sizes]
    yield "(iii) level drifts by 20 dB a batch", [torch.randn(n, 1, 201, 401) + 20 * i for i, n in enumerate(sizes)]
    yield "(iv) float16, mean -60, std 20", [(torch.randn(n, 1, 201, 401) * 20 - 60).half() for n in sizes]


def errors(found, batches, dims, correction):
    "Largest error over bins, compared with float64: of the mean in units of std, and relative error of the std."
    std, mean = torch.std_mean(torch.cat(batches).double(), dims, correction=correction)
    found_mean, found_std = (torch.as_tensor(x).double().cpu().flatten() for x in found)
    return ((found_mean - mean).abs() / std).max().item(), (found_std / std - 1).abs().max().item()


def print_errors(clips, device):
    for title, batches in datasets(clips):
        print(f"\n{title:34}{'mean':>10}{'std':>10}")
        for name, kind in CONTENDERS.items():
            if kind is WithQuantiles:
                continue
            contender = kind()
            for x in batches:
                contender.update(contender.layout(x.to(device)))
            rows = {name: errors(contender.found(), batches, (0, 1, 3), kind.correction)}
            if kind is Ours:
                rows = {
                    "fastaudio_norm, per bin": rows[name],
                    "fastaudio_norm, global": errors(contender.found_of_all(), batches, (0, 1, 2, 3), kind.correction),
                }
            for row, (of_mean, of_std) in rows.items():
                print(f"{row:34}{of_mean:10.1e}{of_std:10.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    recorded = os.environ.get("FASTAUDIO_NORM_RECORDED")
    parser.add_argument(
        "--clips",
        default=Path(recorded) / "esc10" if recorded else None,
        help="folder with the layout of ESC-50 (default: esc10/ in $FASTAUDIO_NORM_RECORDED, or synthetic clips)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="number of rounds with eight timed updates each")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    args = parser.parse_args()
    torch.manual_seed(0)
    print(f"A batch of 64 x [1, 201, 401] float32, {where(args.device)}\n")
    print_costs(args.rounds, args.device)
    print("\nLargest error compared with float64: of the mean in units of std, and relative error of the std")
    print_errors(args.clips or make_clips(ROOT / "bench" / "clips"), args.device)


if __name__ == "__main__":
    main()
