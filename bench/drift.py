"""Alarm rates of the drift monitor, the accuracy of its descriptions, and its cost.

    uv run bench/drift.py FOLDER [--windows 200]

FOLDER is in the layout of ESC-50. Statistics are measured on folds 1 to 3. A window is 20 random clips of fold 4,
changed as the first column says. "alarms" is the share of windows with an alarm, "described" the share whose
description names the change. The second table compares the time per batch of the monitor and of a plain recorder.
"""

import argparse
import re

import numpy as np
import pandas as pd
import scipy.signal
import torch
from timing import median_ms, where
from tqdm import tqdm

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import SAMPLE_RATE, SPECS, cached_clips, spec_settings
from fastaudio_norm.data import read_esc50, telephone_band
from fastaudio_norm.monitor import DriftMonitor
from fastaudio_norm.stats import StatsRecorder

KNOWN, LIVE, CLIPS = (1, 2, 3), 4, 20


def _rms(x):
    return np.sqrt(np.mean(x**2))


def _hum(x, amplitude, rng):
    t = np.arange(len(x)) / SAMPLE_RATE
    return x + amplitude * np.sqrt(2) * np.sin(2 * np.pi * 50 * t + rng.uniform(0, 2 * np.pi))


def _low_pass(x):
    return scipy.signal.sosfilt(scipy.signal.butter(8, 4000, fs=SAMPLE_RATE, output="sos"), x)


def _level(low, high):
    "Whether the words name a change of level from `low` to `high` dB."

    def fits(words):
        found = re.fullmatch(r"level (up|down) (\d+) dB", words)
        return bool(found) and low <= int(found[2]) * (1 if found[1] == "up" else -1) <= high

    return fits


def _edges(*spans):
    "Whether the words name exactly these edges, each `(side, lowest Hz, highest Hz)`."

    def fits(words):
        found = re.findall(r"(below|above) ([\d.]+) (k?)Hz gone", words)
        hz = [(side, float(number) * (1000 if kilo else 1)) for side, number, kilo in found]
        return len(hz) == len(spans) and all(
            side == wanted and low <= f <= high for (side, f), (wanted, low, high) in zip(hz, spans)
        )

    return fits


def _hum_at(low, high):
    "Whether the words name hum from `low` to `high` Hz."

    def fits(words):
        found = re.match(r"hum at (\d+) Hz", words)
        return bool(found) and low <= int(found[1]) <= high

    return fits


CHANGES = {  # name: change of the samples; check of the words
    "nothing": (lambda x, rng: x, lambda words: not words),
    "gain of 9 dB": (lambda x, rng: x * 10 ** (9 / 20), _level(5, 13)),
    "gain of -9 dB": (lambda x, rng: x * 10 ** (-9 / 20), _level(-13, -5)),
    "low-pass at 4 kHz": (lambda x, rng: _low_pass(x), _edges(("above", 3500, 4500))),
    "telephone, 300 to 3400 Hz": (
        lambda x, rng: telephone_band(x, SAMPLE_RATE),
        _edges(("below", 200, 400), ("above", 3000, 4000)),
    ),
    "50 Hz hum, RMS 0.1 of full scale": (lambda x, rng: _hum(x, 0.1, rng), _hum_at(40, 60)),
    "50 Hz hum, 20 dB below the RMS of the clip": (lambda x, rng: _hum(x, 0.1 * _rms(x), rng), _hum_at(40, 60)),
    "white noise at 10 dB SNR": (
        lambda x, rng: x + rng.standard_normal(len(x)) * _rms(x) * 10 ** (-10 / 20),
        lambda words: words.startswith("background noise"),
    ),
}


def spectrograms(clips, names, change, rng):
    to_spec, specs = SPECS["mel"](), []
    for name in names:
        clip = clips[name]
        samples = CHANGES[change][0](clip[0].numpy().astype(np.float64), rng)
        clip.data = torch.from_numpy(samples.astype(np.float32))[None]
        specs.append(to_spec(clip)[None])
    return specs


def rates(df, clips, windows, seed):
    rng, rows = np.random.default_rng(seed), []
    known = StatsRecorder((0, 1, 3), quantiles=True, clips=True)
    for spec in spectrograms(clips, df.filename[df.fold.isin(KNOWN)], "nothing", rng):
        known.update(spec, settings=spec_settings(spec))
    names = df.filename[df.fold == LIVE]
    for change, (_, fits) in CHANGES.items():
        specs, alarms, described = spectrograms(clips, names, change, rng), 0, 0
        for _ in tqdm(range(windows), desc=change, leave=False):
            monitor = DriftMonitor(known)
            for i in rng.choice(len(specs), CLIPS, replace=False):
                monitor.update(specs[i])
            drift = monitor.report()
            alarms += drift.alarm
            described += fits("; ".join(drift.words))
        rows.append({"": change, "alarms": f"{alarms / windows:.1%}", "described": f"{described / windows:.1%}"})
    print(pd.DataFrame(rows).to_string(index=False))
    return known


def costs(known, rounds):
    monitor, recorder = DriftMonitor(known), StatsRecorder((0, 1, 3), quantiles=True)
    batches = [torch.randn(64, 1, known.mean.numel(), 157) * 20 - 30 for _ in range(8)]
    for x in batches:
        recorder.update(x)
        monitor.blocks[-1].update(x)
    contenders = {"recorder with quantiles": recorder, "monitor": monitor.blocks[-1]}
    ms = median_ms({name: (one.update, batches) for name, one in contenders.items()}, rounds, "cpu")
    print(f"\n{where('cpu')}; batches of {list(batches[0].shape)}")
    for name, time in ms.items():
        print(f"{name:26}{time:8.2f} ms, {time / ms['recorder with quantiles']:.2f} x")
    features = monitor.blocks[-1].clips
    held = sum(a.nbytes for s in (features.features, features.bins) for a in (s.mean, s.m2))
    histogram = recorder.histogram.counts.nbytes
    print(f"memory, for any number of clips: histograms {histogram / 1e3:.0f} kB, features {held / 1e3:.0f} kB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="folder in the layout of ESC-50")
    parser.add_argument("--windows", type=int, default=200, help="windows per change (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument("--rounds", type=int, default=10, help="repetitions of the timing (default: 10)")
    args = parser.parse_args()
    df = read_esc50(args.path)
    known = rates(df, cached_clips(df, args.path), args.windows, args.seed)
    costs(known, args.rounds)


if __name__ == "__main__":
    main()
