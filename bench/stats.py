"""What a batch's statistics cost, as a ratio to reading it once, and how exact they are: `uv run bench/stats.py`.

Peers: torch.var_mean merged in float64, and the running mean and std that people write by hand, float32 means and
standard deviations of each batch merged by item counts. Buffers rotate and exceed the caches.
"""

import argparse
import itertools
import statistics
import time

import torch

from fastaudio_norm.stats import StatsRecorder


class ByHand:
    "Running mean and std in float32, of per-batch figures, weighted by items."

    def __init__(self, dims):
        self.dims, self.n = dims, 0

    def update(self, x):
        n, mean, std = len(x), x.mean(self.dims, keepdim=True), x.std(self.dims, keepdim=True)
        if self.n == 0:
            self.n, self.mean, self.std = n, mean, std
            return
        a, b, total = self.n, n, self.n + n
        shift = (self.mean - mean).square()
        self.std = (a / total * self.std.square() + b / total * std.square() + a * b / total**2 * shift).sqrt()
        self.mean, self.n = a / total * self.mean + b / total * mean, total


class VarMean:
    "torch.var_mean of each float32 batch, merged in float64."

    def __init__(self, dims):
        self.dims, self.n = dims, 0

    def update(self, x):
        var, mean = (s.double() for s in torch.var_mean(x, self.dims, correction=0, keepdim=True))
        n = x.numel() // mean.numel()
        if self.n == 0:
            self.n, self.mean, self.m2 = n, mean, var * n
            return
        total, delta = self.n + n, mean - self.mean
        self.m2 = self.m2 + var * n + delta.square() * (self.n * n / total)
        self.mean, self.n = self.mean + delta * (n / total), total

    @property
    def std(self):
        return (self.m2 / (self.n - 1)).sqrt()


PEERS = {"fastaudio_norm": StatsRecorder, "var_mean, float64 merge": VarMean, "by hand": ByHand}
PER = {"global": (0, 2, 3), "per bin": (0, 1, 3)}


def milliseconds(f, buffers, repeats):
    buffers = itertools.cycle(buffers)
    times = []
    for _ in range(repeats):
        x = next(buffers)
        start = time.perf_counter()
        f(x)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def data_sets():
    "Batches of uneven size, the last one smallest."
    sizes = [64, 64, 23]
    yield "dB, mean -60, std 20", [torch.randn(n, 1, 201, 401) * 20 - 60 for n in sizes]
    yield "mean 10000, std 1", [torch.randn(n, 1, 201, 401) + 1e4 for n in sizes]
    yield "level drifts by 20 dB", [torch.randn(n, 1, 201, 401) + 20 * i for i, n in enumerate(sizes)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=24, help="timed updates of each")
    repeats = parser.parse_args().repeats
    torch.manual_seed(0)

    buffers = [torch.randn(64, 1, 201, 401) * 20 - 60 for _ in range(8)]
    read = milliseconds(torch.Tensor.sum, buffers, 3 * repeats)
    print(f"Batch of 64 x [1, 201, 401] float32, {torch.get_num_threads()} threads; reading it once: {read:.2f} ms\n")
    print(f"{'':26}{'global':>18}{'per bin':>18}")
    for name, peer in PEERS.items():
        cost = [milliseconds(peer(dims).update, buffers, repeats) for dims in PER.values()]
        print(f"{name:26}" + "".join(f"{ms:9.2f} ms {ms / read:4.0f} x" for ms in cost))

    print("\nLargest error of the mean, in units of std, and relative error of std, against float64 of it all")
    for title, batches in data_sets():
        everything = torch.cat(batches).double()
        print(f"\n{title}\n{'':26}{'global':>20}{'per bin':>20}")
        for name, peer in PEERS.items():
            cells = []
            for dims in PER.values():
                std, mean = torch.std_mean(everything, dims, keepdim=True)
                found = peer(dims)
                for x in batches:
                    found.update(x)
                mean_error = ((found.mean.double() - mean).abs() / std).max()
                cells.append(f"{mean_error:9.1e} {(found.std.double() / std - 1).abs().max():8.1e}")
            print(f"{name:26}" + "".join(f"{cell:>20}" for cell in cells))


if __name__ == "__main__":
    main()
