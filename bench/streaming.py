"""Time and memory of classifying a stream, beside a file of the same sound.

    uv run bench/streaming.py [--minutes 60]

The network is an untrained xResNet18, which costs the same as a trained one. Processor time on one thread is measured,
so that other programs do not disturb it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

import fastaudio_norm  # noqa: F401
from fastaudio_norm.audio import SAMPLE_RATE
from fastaudio_norm.layers import PCENLayer, SlidingNorm, SpecNorm
from fastaudio_norm.serve import SoundClassifier, StreamingClassifier, predict
from fastaudio_norm.serve.front_end import Decibels, Downmix, Filters, Spectrum
from fastaudio_norm.train import find_arch, make_xresnet_grayscale

BLOCKS = {"0.1 s": 0.1, "1 s": 1.0, "10 s": 10.0}  # seconds
FRAME_RATE = SAMPLE_RATE / 512


def classifiers():
    "Classifiers with front ends that look back only, and one that takes each window as a clip."
    network = make_xresnet_grayscale(find_arch("xresnet18")(n_out=10), 1)
    mel = [Downmix(), Spectrum(n_fft=1024, hop_length=512), Filters.from_weights(torch.rand(513, 64) / 100)]
    layers = {
        "statistics of a data set": [Decibels(), SpecNorm(axes=(0, 1, 3), shape=[1, 1, 64, 1])],
        "PCEN": [PCENLayer(None, FRAME_RATE, scale=2.0**31)],
        "sliding window, causal": [Decibels(), SlidingNorm(300, center=False)],
        "statistics of each window": [Decibels(), SpecNorm(axes=(3,))],
    }
    names = [str(i) for i in range(10)]
    return {name: SoundClassifier([*mel, *norm], network, names, SAMPLE_RATE) for name, norm in layers.items()}


def resident_mb():
    "Resident memory of this process, MB."
    return int(Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]) / 1e3


def stream_seconds(classifier, sound, block, window):
    "Seconds of processor time to classify `sound` in blocks of `block` samples."
    stream, start = StreamingClassifier(classifier, window), time.process_time()
    for at in range(0, sound.shape[1], block):
        stream.push(sound[:, at : at + block])
    stream.finish()
    return time.process_time() - start


def file_seconds(classifier, file, window):
    start = time.process_time()
    for _ in predict(classifier, file, window):
        pass
    return time.process_time() - start


def compare(models, sound, window, rounds):
    "Print milliseconds for each second of sound: median of all rounds and their range."
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sound.wav")
        soundfile.write(file, sound.T, SAMPLE_RATE, subtype="FLOAT")
        contenders = {"file": lambda model: file_seconds(model, file, window)} | {
            f"blocks of {name}": lambda model, s=s: stream_seconds(model, sound, round(s * SAMPLE_RATE), window)
            for name, s in BLOCKS.items()
        }
        print(f"\nProcessor time for a second of sound in ms, windows of {window:g} s, median of {rounds} runs (range)")
        print(f"{'':28}" + "".join(f"{name:>22}" for name in contenders))
        for name, model in models.items():
            times = {contender: [] for contender in contenders}
            for i in range(rounds + 1):
                for contender, run in contenders.items():
                    ms = 1e3 * run(model) / (sound.shape[1] / SAMPLE_RATE)
                    times[contender] += [ms] * (i > 0)  # the first round compiles and fills caches
            cells = [f"{np.median(ms):.2f} ({min(ms):.2f}-{max(ms):.2f})" for ms in times.values()]
            print(f"{name:28}" + "".join(f"{cell:>22}" for cell in cells))


def grow(model, minutes, window):
    "Print the memory while a stream of many minutes is classified in blocks of a second."
    stream, block = (
        StreamingClassifier(model, window),
        np.float32(np.random.default_rng(0).normal(size=(1, SAMPLE_RATE))),
    )
    print(f"\nResident memory, {model.front[-1]}")
    for minute in range(minutes + 1):
        if minute in (1, 5, minutes // 2, minutes):
            print(f"after {minute:3} minutes: {resident_mb():.1f} MB")
        for _ in range(60 * (minute < minutes)):
            stream.push(block)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="length of the sound that is timed")
    parser.add_argument("--minutes", type=int, default=60, help="length of the stream whose memory is measured")
    parser.add_argument("--window", type=float, default=10, help="seconds")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    models = classifiers()
    sound = np.random.default_rng(0).standard_normal((1, args.seconds * SAMPLE_RATE)).astype(np.float32) / 10
    compare(models, sound, args.window, args.rounds)
    grow(models["sliding window, causal"], args.minutes, args.window)


if __name__ == "__main__":
    main()
