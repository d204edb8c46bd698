"""Rates of the drift monitor: false alarms and delay of its watch, alarms and right words of its reports, and its cost.

    uv run bench/drift.py FOLDER [--every 2] [--windows 12] [--band 3900]

FOLDER is in the layout of ESC-50. Statistics are measured on folds 1 to 3. The clips of folds 4 and 5 are changed as
the first column says. A window is 40 random clips of them. "alarms" is the share of windows whose report alarms. "right
words" the share whose description names the change first, with about the right amount. "delay" is the number of
changed clips until the watch alarms (median and 90 % of 40 streams), after 100 unchanged clips. The watch is calibrated
on fold 4 and expects an alarm every 10,000 clips. The second table shows how often it alarms on unchanged clips, drawn
at random.

To compare with a former version, put it first on PYTHONPATH. Versions without a watch skip its columns.
"""

import argparse
import io
import re

import numpy as np
import pandas as pd
import scipy.signal
import soundfile
import torch
from timing import median_ms, where
from tqdm import tqdm

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import SAMPLE_RATE, SPECS, cached_clips, spec_settings, telephone_band
from fastaudio_norm.data import read_esc50
from fastaudio_norm.monitor import DriftMonitor
from fastaudio_norm.stats import StatsRecorder

try:
    from fastaudio_norm.monitor import DriftWatch
except ImportError:  # a former version
    DriftWatch = None

CLIPS, STREAMS, EVERY = 40, 40, 10_000


def _rms(x):
    return np.sqrt(np.mean(x**2))


def _gain(db):
    return lambda x, rng: x * 10 ** (db / 20)


def _filter(hz, kind, order=8):
    sos = scipy.signal.butter(order, hz, kind, fs=SAMPLE_RATE, output="sos")
    return lambda x, rng: scipy.signal.sosfilt(sos, x)


def _tilt(slope):
    def change(x, rng):
        hz = np.fft.rfftfreq(len(x), 1 / SAMPLE_RATE).clip(50)
        return np.fft.irfft(np.fft.rfft(x) * (hz / 1000) ** (slope / 6.02), len(x))

    return change


def _hum(mains):
    "Eight harmonics, amplitude 1/k, RMS 0.02 of full scale."
    k = np.arange(1, 9)[:, None]
    amplitude = 0.02 / k / np.sqrt((0.5 / k**2).sum())

    def change(x, rng):
        t = np.arange(len(x)) / SAMPLE_RATE
        return x + (amplitude * np.sin(2 * np.pi * mains * k * t + rng.uniform(0, 2 * np.pi, k.shape))).sum(0)

    return change


def _noise(snr):
    return lambda x, rng: x + rng.standard_normal(len(x)) * _rms(x) * 10 ** (-snr / 20)


def _reverberate(seconds):
    "Decaying noise, as strong as the direct sound."

    def change(x, rng):
        n = int(seconds * SAMPLE_RATE)
        response = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
        response /= np.sqrt((response**2).sum())
        response[0] += 1
        return scipy.signal.fftconvolve(x, response)[: len(x)]

    return change


def _mp3(x, rng):
    "MP3 at a constant rate of about 64 kbit/s; the encoder (LAME) removes frequencies above 7 kHz."
    file = io.BytesIO()
    options = {"format": "MP3", "compression_level": 0.6, "bitrate_mode": "CONSTANT"}
    soundfile.write(file, x.clip(-1, 1), SAMPLE_RATE, **options)
    file.seek(0)
    return soundfile.read(file)[0][: len(x)]


def _telephone(x, rng):
    "Band of a telephone, 8 kHz, 13 bits."
    narrow = scipy.signal.resample_poly(telephone_band(x, SAMPLE_RATE), 1, 2)
    return scipy.signal.resample_poly(np.round(narrow * 2**12) / 2**12, 2, 1)[: len(x)]


def _level(gain):
    "Whether the words name a change of level that is at most 3 dB from `gain`, in the right direction."

    def right(words):
        found = re.match(r"level (up|down) (\d+) dB(?!,)", words)
        level = int(found[2]) * (1 if found[1] == "up" else -1) if found else 0
        return level * gain > 0 and abs(level - gain) <= 3

    return right


def _hertz(number, kilo):
    return float(number) * (1000 if kilo else 1)


def _edges(*wanted):
    "Whether the words name exactly these edges (side, Hz), each within 15 %."

    def right(words):
        found = re.findall(r"(below|above) ([\d.]+) (k?)Hz gone", words.split(" or ")[0])
        pairs = [(side, _hertz(*hz)) for side, *hz in found]
        return [side for side, _ in pairs] == [side for side, _ in wanted] and all(
            abs(hz / expected - 1) <= 0.15 for (_, hz), (_, expected) in zip(pairs, wanted)
        )

    return right


def _tilted(slope):
    def right(words):
        found = re.match(r"spectrum tilted by ([+-][\d.]+) dB", words)
        return bool(found) and abs(float(found[1]) - slope) <= 1.5

    return right


def _says(pattern):
    return lambda words: bool(re.match(pattern, words))


def _mains(hz):
    def right(words):
        found = re.match(r"hum at (\d+) Hz", words)
        return bool(found) and abs(int(found[1]) - hz) <= 4

    return right


CHANGES = {  # name: change of the samples; check of the words
    "nothing": (_gain(0), lambda words: not words),
    **{f"gain {g:+} dB": (_gain(g), _level(g)) for g in (-20, -10, -6, -3, 3, 6, 10, 20)},
    **{f"low-pass, {f} Hz": (_filter(f, "low"), _edges(("above", f))) for f in (2000, 4000, 6000)},
    **{f"high-pass, {f} Hz": (_filter(f, "high"), _edges(("below", f))) for f in (300, 1000)},
    "1 to 2 kHz missing": (_filter([1000, 2000], "bandstop", 6), _says(r"[\d.]+ k?Hz to [\d.]+ kHz missing")),
    **{f"tilt, {s:+} dB/octave": (_tilt(s), _tilted(s)) for s in (-3, 3)},
    **{f"hum, {f} Hz": (_hum(f), _mains(f)) for f in (50, 60)},
    **{f"white noise, SNR {s} dB": (_noise(s), _says("background noise")) for s in (0, 10, 20, 30)},
    **{f"clipping at {c}": (lambda x, rng, c=c: x.clip(-c, c), _says(".*clipping")) for c in (0.1, 0.03)},
    "gain 20 dB, clipping at 1": (lambda x, rng: (10 * x).clip(-1, 1), _says(".*clipping")),
    **{f"reverberation, {s} s": (_reverberate(s), _says("reverberation")) for s in (0.3, 0.6, 1.5)},
    "MP3, 64 kbit/s": (_mp3, lambda words: words.startswith("lossy coding") or _edges(("above", 7000))(words)),
    "telephone, 8 kHz": (_telephone, _edges(("below", 300), ("above", 3400))),
}


class Clips:
    "Spectrograms of the clips of some folds, changed."

    def __init__(self, df, path, band):
        self.df, self.clips, self.to_spec = df, cached_clips(df, path), SPECS["mel"]()
        self.band = _filter(band, "low", 10) if band else _gain(0)

    def spectrograms(self, change, *folds):
        rng, specs = np.random.default_rng(0), []
        for name in self.df.filename[self.df.fold.isin(folds)]:
            clip = self.clips[name]
            samples = CHANGES[change][0](self.band(clip[0].numpy().astype(np.float64), rng), rng)
            clip.data = torch.from_numpy(samples.astype(np.float32))[None]
            specs.append(self.to_spec(clip)[None])
        return specs


def record(specs):
    "Statistics of spectrograms, and the features of each."
    recorder = StatsRecorder((0, 1, 3), quantiles=True, clips=True)
    features = [recorder.update(spec, settings=spec_settings(spec)) for spec in specs]
    return recorder, None if features[0] is None else np.concatenate(features)


def drawn(features, n, rng):
    return features[rng.integers(len(features), size=n)]


def words_of(known, specs, windows, rng):
    "Words of the report of each window; None without an alarm."
    for _ in range(windows):
        monitor = DriftMonitor(known)
        for i in rng.choice(len(specs), CLIPS, replace=False):
            monitor.update(specs[i])
        drift = monitor.report()
        yield "; ".join(drift.words) if drift.alarm else None


def delays(watch, unchanged, changed, rng):
    "Changed clips until the first alarm, at most 2,000, for each stream."
    for _ in range(STREAMS):
        watch.reset()
        watch.update(drawn(unchanged, 100, rng))
        watch.alarms = []
        while not watch.alarms and watch.clips < 2100:
            watch.update(drawn(changed, 20, rng))
        yield (watch.alarms[0] if watch.alarms else 2100) - 100


def rates(clips, windows):
    known, _ = record(clips.spectrograms("nothing", 1, 2, 3))
    parts = [record(clips.spectrograms("nothing", fold))[1] for fold in (4, 5)] if DriftWatch else []
    watch = DriftWatch(known.clips, EVERY) if DriftWatch else None
    if watch:
        watch.calibrate(parts[0], range(len(parts[0])))
    rows = []
    for change, (_, right) in tqdm(CHANGES.items(), leave=False, disable=None):
        specs, rng = clips.spectrograms(change, 4, 5), np.random.default_rng(1)
        words = list(words_of(known, specs, windows, rng))
        alarms = [w for w in words if w is not None]
        row = {"": change, "alarms": f"{len(alarms) / windows:.0%}"}
        row["right words"] = f"{np.mean([right(w or '') for w in words]):.0%}"
        if watch:
            found = list(delays(watch, np.concatenate(parts), record(specs)[1], rng))
            row["delay"] = f"{np.median(found):.0f} ({np.quantile(found, 0.9):.0f})" if change != "nothing" else ""
        row["words of the first"] = (alarms or ["-"])[0]
        rows.append(row)
    print(pd.DataFrame(rows).to_string(index=False))
    if watch:
        false_alarms(watch, *parts)
    return known


def false_alarms(watch, first, second, clips=100_000):
    "Print the rates of alarms on unchanged clips."
    calibrated, rows = watch.allowance, []
    for allowance, name in ((1.0, "not calibrated"), (calibrated, f"calibrated on fold 4 (times {calibrated:.2f})")):
        for fold, features in ((4, first), (5, second), ("4 and 5", np.concatenate([first, second]))):
            watch.reset()
            watch.allowance, rng, count = allowance, np.random.default_rng(2), 0
            for _ in range(clips // 1000):
                count += len(watch.update(drawn(features, 1000, rng)))
            rows.append({"": name, "fold": fold, "alarms per 10,000 clips": count / clips * 10_000})
    print(f"\nFalse alarms of the watch, {clips:,} clips each; expected: {10_000 / EVERY:g}")
    print(pd.DataFrame(rows).to_string(index=False))


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
    parser.add_argument("--every", type=int, default=1, help="use every n-th clip (default: 1)")
    parser.add_argument("--band", type=float, help="first low-pass all clips at this frequency, Hz (default: no)")
    parser.add_argument("--windows", type=int, default=100, help="windows per change (default: 100)")
    parser.add_argument("--rounds", type=int, default=10, help="repetitions of the timing; 0: none (default: 10)")
    args = parser.parse_args()
    df = read_esc50(args.path).iloc[:: args.every]
    known = rates(Clips(df, args.path, args.band), args.windows)
    if args.rounds:
        costs(known, args.rounds)


if __name__ == "__main__":
    main()
