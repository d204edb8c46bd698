"""Threads that update one `StatsRecorder`."""

import random
import sys
import threading

import torch

from fastaudio_norm.stats.recorder import StatsRecorder


def test_threads_may_update_one_recorder():
    batches = [torch.randn(2, 1, 4, 50, dtype=torch.float64) + i for i in range(200)]
    shared, alone, remaining = (
        StatsRecorder((0, 3), quantiles=True),
        StatsRecorder((0, 3), quantiles=True),
        list(batches),
    )
    random.shuffle(remaining)

    def work():
        while remaining:
            try:
                shared.update(remaining.pop())
            except IndexError:
                return

    threads = [threading.Thread(target=work) for _ in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    for batch in batches:
        alone.update(batch)
    assert torch.equal(shared.count, alone.count) and shared.batches == 200
    assert (shared.std / alone.std - 1).abs().max() < 1e-12 and torch.equal(shared.median, alone.median)
