"""Threads that read a `StatsRecorder` while another one updates it."""

import copy
import pickle
import sys
import threading

import pytest
import torch

from fastaudio_norm.stats import StatsRecorder


def from_file(recorder, folder):
    recorder.save(folder / "stats.json")
    return StatsRecorder.load(folder / "stats.json")


def by_reduction(recorder, folder):
    return recorder.reduced((0, 1, 2, 3))


def by_merging(recorder, folder):
    merged = recorder.empty_copy()
    merged.merge(recorder)
    return merged


READERS = {
    "save and load": from_file,
    "pickle": lambda recorder, _: pickle.loads(pickle.dumps(recorder)),
    "deepcopy": lambda recorder, _: copy.deepcopy(recorder),
    "merge": by_merging,
    "sum": lambda recorder, _: recorder + recorder.empty_copy(),
    "reduced": by_reduction,
}


@pytest.fixture
def updated():
    "A recorder that a thread updates all the time. Half of its values are 1, the others -1."
    recorder, stop = StatsRecorder((0, 1, 3), quantiles=True, clips=True), threading.Event()
    batch = torch.ones(1, 1, 8, 10)
    batch[..., ::2] = -1
    recorder.update(batch)

    def work():
        while not stop.is_set():
            recorder.update(batch)

    thread, interval = threading.Thread(target=work), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    yield recorder
    stop.set()
    thread.join()
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_readers_get_a_complete_recorder(read, updated, tmp_path):
    for _ in range(40):
        found = read(updated, tmp_path)
        n, histogram = found.moments.n, found.histogram
        assert (histogram.counts.sum(1) == n.flatten()).all()  # otherwise a file is refused when it is loaded
        assert found.clips.bins.n * 10 * 8 == n.sum()
        assert (found.std - found.var.sqrt()).abs().max() == 0 and found.mean.abs().max() == 0
        assert found.min.max() == -1 and found.max.min() == 1


def test_the_lock_gives_statistics_of_the_same_moment(updated):
    for _ in range(200):
        with updated.lock:
            assert updated.nobservations == 10 * updated.batches
        assert updated.var.min() > 0 and updated.iqr.min() > 1.9


def test_recorders_may_be_merged_into_each_other_at_the_same_time():
    first, second = StatsRecorder(), StatsRecorder()
    for recorder in (first, second):
        recorder.update(torch.randn(2, 1, 3, 4))

    def merge(into, other):
        for _ in range(20):
            into.merge(other.reduced(other.red_dims))
            into.nobservations

    threads = [threading.Thread(target=merge, args=pair, daemon=True) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
