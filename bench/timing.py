"""Median run times of several functions, measured together.

The functions take turns, and cycle through more batches than fit into the processor's caches.
"""

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
    """Median milliseconds per call, by name.

    `contenders` maps each name to a function and the list of batches to call it with. In each round, a function is
    called with its batches twice, and only the second time counts. At first, threads of the previous function may still
    be busy waiting.
    """
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (f, batches) in contenders.items():
            _, second = ([_seconds(f, x, synchronize) for x in batches] for _ in range(2))
            times[name] += second
    return {name: 1e3 * statistics.median(ts) for name, ts in times.items()}


def where(device):
    "Hardware description: the number of CPU threads, or the name of the GPU."
    return f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name()
