"""Fuzz the readers of files: every file must be refused with an error that names it, or be read and work.

    uv run --with atheris bench/fuzz.py statistics|table|audio [--format wav|flac|ogg|mp3] [--minutes 25] [--out DIR]

A coverage-guided fuzzer modifies files that the package wrote: statistics from `StatsRecorder.save`, mostly with a
valid checksum, the table of ESC-50, and audio files of at most 1 MB, mostly in their first 200 bytes. What the commands
do with an audio file must take less than 30 s of processor time and 1 GB of memory. The fuzzer continues after a
failure, reports each failing line once, and saves one input per line in DIR. Exits with status 1 if there were
failures, and immediately if an input takes 20 s (audio: 300 s) or 12 GB of memory (after a million inputs, the fuzzer
itself uses 1.6 GB). Linux only.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from functools import partial
from hashlib import sha256
from pathlib import Path

import atheris
import numpy as np
import soundfile
import torch

FOLLOWED = ["fastaudio_norm", *(["pandas"] if "table" in sys.argv else [])]  # instrumenting pandas slows its import
# numba cannot compile instrumented code
with atheris.instrument_imports(FOLLOWED, exclude=["fastaudio_norm.stats.kernels"]):
    from fastaudio_norm.audio import SAMPLE_RATE, SPECS, as_bad_audio, check_files, gammatone_spec, read_clip
    from fastaudio_norm.data import make_clips, read_esc50
    from fastaudio_norm.names import FRONT_END_NAMES
    from fastaudio_norm.serve import Decibels, Downmix, SoundClassifier, Spectrum, predict
    from fastaudio_norm.stats import StatsRecorder, bin_frequencies
    from fastaudio_norm.storage import read_json, write_json

ODD = [
    None, True, False, 0, 1, 2, -1, 3, 4, 0.5, -0.0, 5e-324, 1e308, -1e308, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63),
    10**400, "", "1", "1.0", "nan", "inf", "NA", "None", "True", "gammatone", "htk", "sr", "a\0b", "é", "\ud800", '"',
    "a.wav", "../a.wav", "/etc/passwd", "..", "audio/a.wav", "A.WAV", ".wav", "\t", " ", "\r", "2020-01-01", "1_000",
    "0x1", "'", [], {}, [0], [[]], [None], {"mel": True}, [0, 1, 2, 3], [1, 1, 1, 1],
]  # fmt: skip


def changed(value, rng, others):
    "Change, remove or duplicate a random part of a JSON value, or replace the part by one of `others`."
    if isinstance(value, (int, float)) and rng.random() < 0.3:
        return rng.choice([value + 1, value - 1, value * 2, value / 2, -value])
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.05:
        return rng.choice(others)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    new, key = value.copy(), rng.choice(keys)
    if rng.random() < 0.75:
        new[key] = changed(value[key], rng, others)
    elif rng.random() < 0.4:
        del new[key]
    elif isinstance(new, list):
        new.insert(key, value[rng.choice(keys)])
    else:
        new[key] = value[rng.choice(keys)]
    return new


def leaves(value):
    if not isinstance(value, (dict, list)):
        return [value]
    return [leaf for part in (value.values() if isinstance(value, dict) else value) for leaf in leaves(part)]


class Statistics:
    "`StatsRecorder.load`, and the methods of the recorder that it returns."

    def __init__(self, folder):
        self.file, self.again = folder / "stats.json", folder / "again.json"

    def seeds(self):
        mel = {"mel": True, "sr": 16000, "sample_rate": 16000, "n_fft": 16, "n_mels": 3, "f_min": 0.0, "f_max": None}
        mel |= {"mel_scale": "htk", "to_db": True}
        linear = {"mel": False, "sr": 16000, "sample_rate": 16000, "n_fft": 4}
        tones = gammatone_spec(16000, 16, 8, 3).settings
        generator = torch.Generator().manual_seed(0)
        clips = torch.randint(6, (4, 2, 3, 5), generator=generator) * 2.0**-18 - 60  # few distinct values: a small file
        for options, settings in [
            (((0, 3), 1, "raise", True), mel),
            (((0, 1, 3), 0, "skip", True), linear),
            (((0, 2, 3), 1, "raise", False), None),
            (((0, 3), 1, "raise", False), tones),
        ]:
            recorder = StatsRecorder(*options, settings=settings, clips=settings is mel or settings is tones)
            recorder.update(clips)
            recorder.about = {"clips": 4, "folds": [1, 2]} if settings else {}
            recorder.save(self.file)
            yield json.dumps(read_json(self.file, "statistics", 1)).encode()
        yield self.file.read_bytes()

    def change(self, data, rng):
        content = json.loads(data)
        return json.dumps(changed(content, rng, ODD + leaves(content))).encode()

    def write(self, data):
        try:
            content = json.loads(data)
            if isinstance(content, dict) and "sha256" not in content:
                return write_json(self.file, "statistics", 1, content)
        except (ValueError, RecursionError):
            pass
        self.file.write_bytes(data)

    def read(self):
        return StatsRecorder.load(self.file)

    def use(self, found):
        n, mean, std, text = found.count, found.mean, found.std, repr(found)
        assert n.shape == mean.shape == std.shape and (n >= 0).all()
        assert (mean.isfinite() == (n > 0)).all() and (std.isfinite() == (n > found.correction)).all()
        twice, whole = found + found, found.reduced(range(n.ndim))
        assert (twice.count == 2 * n).all() and whole.count.item() == n.sum() == whole.nobservations
        recorders = [found, twice, whole, found.blended(found, 0.5)]
        if found.quantiles:
            for q in (0.0, 0.25, 1.0):
                value = found.quantile(q)
                assert ((value >= found.min) & (value <= found.max)).equal(n > 0)
            assert (found.iqr >= 0).equal(n > 0) and (found.quantile_error > 0).all()
            assert all((r.histogram.counts.sum(1) == r.count.flatten().numpy()).all() for r in recorders)
        if found.clips:
            for spread in (found.clips.features, found.clips.bins):
                assert np.isfinite(spread.mean).all() and np.isfinite(spread.m2).all()
        assert all(isinstance(repr(r), str) and r.nobservations >= 0 for r in recorders)
        found.save(self.again)
        assert repr(StatsRecorder.load(self.again)) == text
        try:
            frequencies = bin_frequencies(found.settings)
        except ValueError:
            return
        assert frequencies is None or (frequencies.ndim == 1 and np.isfinite(frequencies).all())


class Table:
    "`read_esc50`, and the properties of its table that other modules rely on."

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "meta" / "esc50.csv"
        make_clips(folder, per_fold=1, seconds=0.1)
        self.rows = self.file.read_bytes().splitlines()
        for clip in sorted((folder / "audio").iterdir())[5:]:
            clip.unlink()
        clip = min((folder / "audio").iterdir())
        clip.rename(clip.with_suffix(".ogg"))
        (folder / "audio" / "a.wav").touch()

    def seeds(self):
        present = {file.stem.encode() for file in (self.folder / "audio").iterdir()}
        rows = [self.rows[0], *(row for row in self.rows[1:] if row.split(b".")[0] in present)]
        yield b"\n".join([*rows, b""])
        yield b"\xef\xbb\xbf" + b"\r\n".join(b",".join(row.split(b",")[:4]) for row in rows)
        yield b"fold,category,filename\n1,dog,a.wav\n"

    def change(self, data, rng):
        cells = [row.split(",") for row in data.decode("latin-1").split("\n")]
        cells = changed(cells, rng, [str(odd) for odd in ODD] + leaves(cells))
        rows = [row if isinstance(row, str) else ",".join(row) for row in cells] if isinstance(cells, list) else [cells]
        return "\n".join(rows).encode("utf-8" if rng.random() < 0.5 else "latin-1", "replace")

    def write(self, data):
        self.file.write_bytes(data)

    def read(self):
        return read_esc50(self.folder, absent_ok=True)

    def use(self, df):
        present = {file.name for file in (self.folder / "audio").iterdir()}
        assert list(df.index) == list(range(len(df))) and len(df)
        assert df.fold.dtype.kind == "i"
        names, categories = df.filename.tolist(), df.category.tolist()
        assert all(name == Path(name).name != ".." and "\0" not in name for name in names)
        assert len(names) == len(set(names))
        assert all(isinstance(name, str) and name.encode() for name in categories)
        try:
            assert read_esc50(self.folder).equals(df) and present.issuperset(df.filename)
        except FileNotFoundError as e:
            assert self.file.name in str(e) and not present.issuperset(df.filename)


def peak_memory():
    "Most bytes that this process has used since the last `reset_peak`."
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")
    return peak_memory()


class MeanLevels(torch.nn.Module):
    "A network of two classes, without weights."

    def forward(self, x):  # [batch, channel, frequency, time]
        return x.mean((1, 3))[:, :2]


class Audio:
    "What `stats`, `drift`, `compare` and `predict` do with a file: check it, read it, resample it, use it."

    SUBTYPES = {
        "wav": ["PCM_U8", "PCM_16", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "MS_ADPCM"],
        "flac": ["PCM_S8", "PCM_16", "PCM_24"],
        "ogg": ["VORBIS", "OPUS"],
        "mp3": ["MPEG_LAYER_III"],
    }
    NUMBERS = [
        0,
        1,
        2,
        3,
        7,
        8,
        127,
        128,
        255,
        256,
        1000,
        44100,
        44101,
        48000,
        65535,
        2**20,
        2**24,
        2**31 - 1,
        2**31,
        2**32 - 1,
    ]

    def __init__(self, folder, kind):
        self.kind, self.file = kind, folder / f"clip.{kind}"
        self.classifier = SoundClassifier([Downmix(), Spectrum(n_fft=512), Decibels()], MeanLevels(), ["a", "b"], 16000)
        self.specs = [make() for name, make in SPECS.items() if name not in FRONT_END_NAMES]

    def seeds(self):
        rng = np.random.default_rng(0)
        for subtype in self.SUBTYPES[self.kind]:
            for rate, channels in ((8000, 1), (48000, 2)):
                clip = rng.normal(0, 0.1, (rate // 5, channels))
                soundfile.write(self.file, clip, rate, subtype, format=self.kind)
                content = self.file.read_bytes()
                yield content
                if self.kind == "mp3":  # without the frame that contains the length
                    yield content[content.index(content[:2], 40) :]
                if self.kind == "flac":
                    yield content[:21] + bytes([content[21] & 0xF0, 0, 0, 0, 0]) + content[26:]

    def change(self, data, rng):
        data, kind = bytearray(data), rng.random()
        at = rng.randrange(min(len(data), 200) if rng.random() < 0.8 else len(data))
        if kind < 0.6:
            size = rng.choice([1, 1, 2, 3, 4, 4, 8])
            number = rng.choice(self.NUMBERS) % 256**size if rng.random() < 0.7 else rng.randrange(256**size)
            data[at : at + size] = number.to_bytes(size, rng.choice(["little", "big"]))
        elif kind < 0.7:
            data[at] ^= 1 << rng.randrange(8)
        elif kind < 0.8:
            data = data[: rng.randrange(1, len(data) + 1)]
        elif kind < 0.9:
            end = min(len(data), at + rng.randrange(1, 400))
            data[at:end] = rng.choice([bytes(end - at), b"\xff" * (end - at), bytes(data[at:end]) * 2])
        else:
            data = (data + bytes(data[at:]) * rng.randrange(1, 400))[: 2**20]
        return bytes(data)

    def write(self, data):
        self.file.write_bytes(data[: 2**20])

    def read(self):
        memory, time_ = reset_peak(), time.process_time()
        try:
            return self._work()
        finally:
            memory, seconds = peak_memory() - memory, time.process_time() - time_
            assert memory < 2**30, f"{memory / 2**30:.1f} GiB of memory"
            assert seconds < 30, f"{seconds:.0f} s"

    def _work(self):
        check_files([self.file], samples=True)
        with as_bad_audio(self.file):
            clip = read_clip(self.file, SAMPLE_RATE)
            for to_spec in self.specs:
                to_spec(clip)
        return clip, [prediction.end for prediction in predict(self.classifier, self.file)]

    def use(self, found):
        clip, ends = found
        assert clip.shape[0] == 1 and clip.isfinite().all()
        assert ends == sorted(ends) and abs(ends[-1] - clip.duration) <= 1e-3 * ends[-1] + 1e-3


class Fuzzer:
    "Feed inputs to a reader until the time is up."

    def __init__(self, reader, folder, out, seconds):
        self.reader, self.folder, self.out, self.start = reader, folder, out, time.monotonic()
        self.end, self.failures, self.runs, self.slowest = self.start + seconds, Counter(), Counter(), 0.0

    def change(self, data, max_size, seed):
        rng = random.Random(seed)
        for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
            try:
                data = self.reader.change(data, rng)
            except (ArithmeticError, RecursionError, ValueError):
                break
        else:
            if rng.random() < 0.8 and 0 < len(data) <= max_size:
                return data
        return atheris.Mutate(data[:max_size], max_size)

    def __call__(self, data):
        start = time.monotonic()
        if start > self.end:
            self.summary()
            self.folder.cleanup()
            os._exit(bool(self.failures))  # atheris would report any exception as a failure
        self.reader.write(data)
        start = time.monotonic()
        try:
            try:
                found = self.reader.read()
            except (FileNotFoundError, ValueError) as e:
                if self.reader.file.name not in str(e):
                    raise
                self.runs["refused"] += 1
            else:
                self.reader.use(found)
                self.runs["read"] += 1
        except Exception as e:
            self.fail(e)
        self.slowest = max(self.slowest, time.monotonic() - start)

    def fail(self, error):
        self.runs["failed"] += 1
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if frame.filename == __file__ or "fastaudio_norm" in frame.filename]
        place = f"{type(error).__name__} in {ours[-1].name}: {ours[-1].line}"
        if not self.failures[place]:
            content = self.reader.file.read_bytes()
            saved = self.out / f"{sha256(content).hexdigest()[:12]}-{self.reader.file.name}"
            saved.write_bytes(content)
            print(f"\nFAILURE, input saved as {saved}: {content[:300]!r}")
            traceback.print_exception(error, file=sys.stdout)
            sys.stdout.flush()
        self.failures[place] += 1

    def summary(self):
        minutes = (time.monotonic() - self.start) / 60
        kinds = ", ".join(f"{n:,} {what}" for what, n in self.runs.items())
        print(f"\n{self.runs.total():,} inputs in {minutes:.1f} minutes: {kinds}; slowest input {self.slowest:.2f} s")
        print(f"Failing lines: {len(self.failures)}")
        for place, times in self.failures.most_common():
            print(f"{times:9,} {place}")
        sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=["statistics", "table", "audio"])
    parser.add_argument(
        "--format", choices=list(Audio.SUBTYPES), default="wav", help="of the audio files (default: wav)"
    )
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "fuzz")
    args, options = parser.parse_known_args()
    args.out.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    memory = Path("/dev/shm")
    folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
    seeds = Path(folder.name) / "seeds"
    seeds.mkdir()
    reader = {"statistics": Statistics, "table": Table, "audio": partial(Audio, kind=args.format)}[args.reader]
    reader = reader(Path(folder.name))
    for number, seed in enumerate(reader.seeds()):
        (seeds / str(number)).write_bytes(seed)
    fuzzer = Fuzzer(reader, folder, args.out, 60 * args.minutes)
    timeout, size = (300, 2**20) if args.reader == "audio" else (20, 8192)
    limits = [f"-timeout={timeout}", "-rss_limit_mb=12000", f"-max_len={size}", "-mutate_depth=2"]
    limits.append(f"-artifact_prefix={args.out}/")
    atheris.Setup([sys.argv[0], *limits, *options, str(seeds)], fuzzer, custom_mutator=fuzzer.change)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
