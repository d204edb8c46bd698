"""Random clips, statistics and models that tests of drift and updates share."""

import numpy as np
import soundfile
import torch
from fastaudio.core.spectrogram import AudioSpectrogram
from support import SMALL_ARCH

from fastaudio_norm.audio import spec_settings
from fastaudio_norm.data import get_dls, read_esc50
from fastaudio_norm.monitor import DriftMonitor
from fastaudio_norm.serve import as_pipeline
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.train import Recipe, make_tfms, spec_learner

SETTINGS = {"mel": False, "to_db": True, "sr": 16000, "n_fft": 126, "hop_length": 63, "win_length": 126}
HZ = np.linspace(0, 8000, 64)


def random_clips(n, seed, gain=0.0):
    "Spectrograms in dB [n, 1, 64, 40]. Level, tilt and spread differ from clip to clip."
    rng = torch.Generator().manual_seed(seed)
    level = torch.randn(n, 1, 1, 1, generator=rng) * 8 - 30
    tilt = torch.randn(n, 1, 1, 1, generator=rng) * 6 * torch.linspace(-1, 1, 64)[:, None]
    spread = torch.rand(n, 1, 1, 1, generator=rng) * 6 + 3
    x = level + tilt + spread * torch.randn(n, 1, 64, 40, generator=rng)
    return x - x.amax((1, 2, 3), keepdim=True) + torch.randn(n, 1, 1, 1, generator=rng) * 2 + gain


def as_spectrogram(x, **settings):
    return AudioSpectrogram.create(x, settings={**SETTINGS, **settings})


def update(recorder, x):
    recorder.update(x, settings=spec_settings(x))


def recorded(x):
    "Statistics of the spectrograms `x`, per frequency bin."
    recorder = StatsRecorder((0, 1, 3), quantiles=True, clips=True)
    update(recorder, as_spectrogram(x))
    return recorder


def report(reference, x):
    "Drift of the spectrograms `x` from `reference`."
    monitor = DriftMonitor(reference)
    monitor.update(as_spectrogram(x))
    return monitor.report()


def write_filtered(path, folder, change):
    "Write all clips of a data set to `folder`, with `change(samples, rate)` applied. Returns their files."
    folder.mkdir()
    for file in (path / "audio").iterdir():
        samples, rate = soundfile.read(file)
        soundfile.write(folder / file.name, change(samples, rate), rate, subtype="FLOAT")
    return sorted(folder.iterdir())


def louder_statistics(known):
    "Statistics of random clips that are 20 dB louder than `known`."
    recorder = StatsRecorder((0, 3), quantiles=True, clips=True, settings=known.settings)
    rng = torch.Generator().manual_seed(0)
    recorder.update(torch.randn(40, 1, 64, 50, generator=rng) * known.std.float() + known.mean.float() + 20)
    return recorder


def save_model(path, norm, file):
    "Save an untrained model for the clips of `path` with a normalization. Returns the file."
    item_tfms, batch_tfms = make_tfms(norm, Recipe())
    dls = get_dls(read_esc50(path), path, bs=10, item_tfms=item_tfms, batch_tfms=batch_tfms, num_workers=0)
    as_pipeline(spec_learner(dls, SMALL_ARCH)).save(file)
    return file
