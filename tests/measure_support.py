"""Measurements that die on the way, and digests of the files of statistics."""

import hashlib

import pytest

from fastaudio_norm.measure.checkpoint import Checkpoint
from fastaudio_norm.measure.folder import measure
from fastaudio_norm.measure.measurement import Measurement


class Killed(BaseException):
    "Stands for a signal that cannot be caught: nothing runs after it."


def digest_of_statistics(source, file, **options):
    "Measure, save the statistics to `file`, and return the digest of the file."
    measure(source, **options).save(file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def measure_and_die(clips, monkeypatch, source, checkpoint, **options):
    "Die when `clips` were added and saved."
    add, save, seen = Measurement.add, Checkpoint.save, []

    def add_or_die(self, *args):
        if len(seen) == clips:
            raise Killed
        seen.append(args)
        add(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Measurement, "add", add_or_die)
        patch.setattr(Checkpoint, "save", lambda self, measurement, now=False: save(self, measurement, now=True))
        with pytest.raises(Killed):
            measure(source, checkpoint=checkpoint, **options)
