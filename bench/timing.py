"Contenders take turns on buffers that rotate, more of them than the caches hold."

import statistics
import time

import torch


def _seconds(f, x, synchronize):
    synchronize()
    start = time.perf_counter()
    f(x)
    synchronize()
    return time.perf_counter() - start


def median_ms(contenders, rounds, device):
    "Median milliseconds by name, of `contenders`: name to function and the batches that it is given."
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (f, batches) in contenders.items():
            once, again = ([_seconds(f, x, synchronize) for x in batches] for _ in range(2))
            times[name] += again  # the first time, threads of the contender before may still be busy waiting
    return {name: 1e3 * statistics.median(ts) for name, ts in times.items()}


def where(device):
    return f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name()
