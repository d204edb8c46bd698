"""How often a drift monitor alarms on clips that statistics were not measured on, and whether it says what has changed.

    uv run bench/drift.py FOLDER [--windows 200]

FOLDER is in ESC-50's layout. Statistics are of folds 1 to 3; windows are 20 random clips of fold 4, changed as the
table says. "Right" is an alarm with the words for that change. Then: what a batch costs the monitor and the recorder.
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
from fastaudio_norm.audio.cache import cached_clips
from fastaudio_norm.audio.spectrograms import SAMPLE_RATE, SPECS, spec_settings
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.monitor.drift import DriftMonitor
from fastaudio_norm.stats.recorder import StatsRecorder

KNOWN, LIVE, CLIPS = (1, 2, 3), 4, 20


def _rms(x):
    return np.sqrt(np.mean(x**2))


def _hum(x, amplitude, rng):
    t = np.arange(len(x)) / SAMPLE_RATE
    return x + amplitude * np.sqrt(2) * np.sin(2 * np.pi * 50 * t + rng.uniform(0, 2 * np.pi))


def _filtered(x, order, edges, kind):
    return scipy.signal.sosfilt(scipy.signal.butter(order, edges, kind, fs=SAMPLE_RATE, output="sos"), x)


def _level(low, high):
    def fits(words):
        found = re.fullmatch(r"level (up|down) (\d+) dB", words)
        return bool(found) and low <= int(found[2]) * (1 if found[1] == "up" else -1) <= high

    return fits


def _edges(*spans):
    "Whether the words name edges within these spans of Hz."

    def fits(words):
        found = re.findall(r"(below|above) ([\d.]+) (k?)Hz gone", words)
        hz = [(side, float(number) * (1000 if kilo else 1)) for side, number, kilo in found]
        return len(hz) == len(spans) and all(
            side == wanted and low <= f <= high for (side, f), (wanted, low, high) in zip(hz, spans)
        )

    return fits


def _hum_at(low, high):
    def fits(words):
        found = re.match(r"hum at (\d+) Hz", words)
        return bool(found) and low <= int(found[1]) <= high

    return fits


CHANGES = {  # name: what is done to samples, and whether words say so
    "nothing": (lambda x, rng: x, lambda words: not words),
    "gain of 9 dB": (lambda x, rng: x * 10 ** (9 / 20), _level(5, 13)),
    "gain of -9 dB": (lambda x, rng: x * 10 ** (-9 / 20), _level(-13, -5)),
    "low-pass at 4 kHz": (lambda x, rng: _filtered(x, 8, 4000, "lowpass"), _edges(("above", 3500, 4500))),
    "telephone, 300 to 3400 Hz": (
        lambda x, rng: _filtered(x, 4, (300, 3400), "bandpass"),
        _edges(("below", 200, 400), ("above", 3000, 4000)),
    ),
    "50 Hz hum at -20 dBFS": (lambda x, rng: _hum(x, 0.1, rng), _hum_at(40, 60)),
    "50 Hz hum, 20 dB below the clip": (lambda x, rng: _hum(x, 0.1 * _rms(x), rng), _hum_at(40, 60)),
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
        specs, alarms, right = spectrograms(clips, names, change, rng), 0, 0
        for _ in tqdm(range(windows), desc=change, leave=False):
            monitor = DriftMonitor(known)
            for i in rng.choice(len(specs), CLIPS, replace=False):
                monitor.update(specs[i])
            drift = monitor.report()
            alarms += drift.alarm
            right += fits("; ".join(drift.words))
        rows.append({"": change, "alarms": f"{alarms / windows:.1%}", "right": f"{right / windows:.1%}"})
    print(pd.DataFrame(rows).to_string(index=False))
    return known


def costs(known, rounds):
    monitor, recorder = DriftMonitor(known), StatsRecorder((0, 1, 3), quantiles=True)
    batches = [torch.randn(64, 1, known.mean.numel(), 157) * 20 - 30 for _ in range(8)]
    for x in batches:
        recorder.update(x)
        monitor.live.update(x)
    contenders = {"recorder with quantiles": recorder, "monitor": monitor.blocks[-1]}
    ms = median_ms({name: (one.update, batches) for name, one in contenders.items()}, rounds, "cpu")
    print(f"\n{where('cpu')}; batches of {list(batches[0].shape)}")
    for name, time in ms.items():
        print(f"{name:26}{time:8.2f} ms, {time / ms['recorder with quantiles']:.2f} x")
    features = monitor.blocks[-1].clips
    held = sum(a.nbytes for s in (features.features, features.bins) for a in (s.mean, s.m2))
    histogram = recorder._histogram.counts.nbytes
    print(f"memory: histograms {histogram / 1e3:.0f} kB, and {held / 1e3:.0f} kB of how clips differ, for any number")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="folder in ESC-50's layout")
    parser.add_argument("--windows", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    df = read_esc50(args.path)
    known = rates(df, cached_clips(df, args.path), args.windows, args.seed)
    costs(known, args.rounds)


if __name__ == "__main__":
    main()
