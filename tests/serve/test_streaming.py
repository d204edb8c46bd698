"""A stream in blocks of any length gets the predictions that the whole recording gets."""

import io
import json
import os
import sys

import numpy as np
import pytest
import torch
import worker_functions
from support import PROCESSES
from torch import nn

from fastaudio_norm.cli.main import main
from fastaudio_norm.layers import AudioNorm, BandMatch, PCENLayer, SlidingNorm, SpecNorm
from fastaudio_norm.serve import ExportedModel, SoundClassifier, StreamingClassifier
from fastaudio_norm.serve.front_end import Decibels, Downmix, Filters, Spectrum
from fastaudio_norm.serve.resample import ResampleLayer

SR = 8000
FILTERS = torch.rand(129, 12, generator=torch.Generator().manual_seed(0))
MEL = [Spectrum(n_fft=256, hop_length=100), Filters.from_weights(FILTERS)]
STATISTICS = SpecNorm.from_statistics(torch.full((1, 1, 12, 1), -20.0), torch.full((1, 1, 12, 1), 15.0), (0, 1, 3))
MATCH = BandMatch(12)
MATCH.offset += 3
MATCH.scale *= 1.5

CAUSAL = {
    "statistics of a data set": [*MEL, Decibels(), MATCH, STATISTICS],
    "no normalization, without padding at the ends": [Spectrum(n_fft=256, hop_length=300, center=False), Decibels()],
    "hop longer than half a window": [Spectrum(n_fft=256, hop_length=200), Decibels()],
    "PCEN": [*MEL, PCENLayer(None, 80, scale=2.0**31)],
    "trained PCEN": [*MEL, PCENLayer(12, 80, 0.1, scale=2.0**31)],
    "sliding window": [*MEL, Decibels(), SlidingNorm(60, center=False, min_window=30), STATISTICS],
    "short sliding window after PCEN": [*MEL, PCENLayer(None, 80), SlidingNorm(5, center=False, min_window=20)],
}
PER_WINDOW = {
    "statistics of each clip": ([*MEL, Decibels()], [SpecNorm(axes=(3,))]),
    "centred sliding window": ([*MEL, Decibels(), STATISTICS], [SlidingNorm(40)]),
    "waveform": ([], [AudioNorm(SR), *MEL, Decibels(), STATISTICS]),
    "decibels below the maximum": (MEL, [Decibels(top_db=60)]),
}


class Power(nn.Module):
    "Mean square of the outputs of random filters: depends on all values of its input."

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.filters = nn.Parameter(torch.randn(3, 1, 3, 3, generator=generator), requires_grad=False)

    def forward(self, x):
        return nn.functional.conv2d(x, self.filters).square().mean((-2, -1)).log1p()


def classifier_of(layers, **options):
    return SoundClassifier([Downmix(), *layers], Power(), ["a", "b", "c"], SR, **options)


def recording(seconds, rate=SR, channels=1, seed=0):
    "Noise whose level and spectrum change, in float32."
    rng = np.random.default_rng(seed)
    n = round(seconds * rate)
    level = np.repeat(10 ** rng.uniform(-3, 0, n // 2000 + 1), 2000)[:n]
    return (rng.standard_normal((channels, n)).cumsum(1) % 1 * level).astype(np.float32)


def in_blocks(stream, x, seed=0):
    "Predictions of a stream whose blocks have random lengths from 1 sample to 10 s, and often only a few samples."
    rng, predictions, at = np.random.default_rng(seed), [], 0
    while at < x.shape[1]:
        size = int(10 ** rng.uniform(0, np.log10(10 * stream.rate))) if rng.random() < 0.5 else int(rng.integers(1, 40))
        predictions += stream.push(x[:, at : at + size])
        at += size
    return predictions + stream.finish()


def check_windows(predictions, frames, network, window, hop, end):
    "Compare with the windows of the whole recording's spectrogram, and require that nothing is left out."
    for i, prediction in enumerate(predictions):
        expected = network(frames[..., i * hop : i * hop + window])[0].softmax(-1)
        np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-4)
    assert i * hop + window >= frames.shape[-1] and (i - 1) * hop + window < frames.shape[-1]
    assert predictions[-1].end == pytest.approx(end, abs=0.1)


@pytest.mark.parametrize("rate, channels, seed", [(SR, 1, 0), (22050, 2, 1), (6000, 1, 2)])
@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_predictions_of_blocks_equal_those_of_the_whole(name, rate, channels, seed):
    classifier, x = classifier_of(CAUSAL[name]), recording(23.7, rate, channels)
    whole = torch.from_numpy(x)[None]
    frames = classifier.front(whole if rate == SR else ResampleLayer(rate, SR)(whole))
    stream = StreamingClassifier(classifier, window=3, hop=1.2, rate=rate)
    assert not stream.per_window
    spectrum = classifier.front[1].spectrogram
    window = (3 * SR - (0 if spectrum.center else spectrum.n_fft)) // spectrum.hop_length + 1
    hop = round(1.2 * SR) // spectrum.hop_length
    check_windows(in_blocks(stream, x, seed), frames, classifier.network, window, hop, 23.7)


@pytest.mark.parametrize("name", PER_WINDOW)
@torch.no_grad()
def test_other_layers_take_each_window_as_a_clip(name):
    causal, per_window = PER_WINDOW[name]
    classifier, x = classifier_of([*causal, *per_window]), recording(11.3)
    stream = StreamingClassifier(classifier, window=2, hop=1)
    assert stream.per_window == per_window and all(type(layer).__name__ in repr(stream) for layer in per_window)
    units = nn.Sequential(*causal)(torch.from_numpy(x)[None])
    window, hop = (161, 80) if causal else (2 * SR, SR)

    def network(clip):
        return classifier.network(nn.Sequential(*per_window)(clip))

    check_windows(in_blocks(stream, x), units, network, window, hop, 11.3)


@torch.no_grad()
def test_exported_models_run_over_windows_of_samples():
    classifier, x = classifier_of(CAUSAL["PCEN"]), recording(7.5)
    exported = ExportedModel(classifier, **classifier.about)
    predictions = in_blocks(StreamingClassifier(exported, window=2), x)
    assert [(p.start, p.end) for p in predictions] == [(0, 2), (2, 4), (4, 6), (6, 7.5)]
    for start, end, found in predictions:
        clip = torch.from_numpy(x)[None, :, int(start * SR) : int(end * SR)]
        np.testing.assert_allclose(found, classifier(clip)[0], atol=1e-5)


def test_windows_may_be_farther_apart_than_they_are_long():
    classifier, x = classifier_of(CAUSAL["statistics of a data set"]), recording(9)
    sparse = in_blocks(StreamingClassifier(classifier, window=1, hop=2.5), x, seed=3)
    dense = StreamingClassifier(classifier, window=1, hop=0.5).push(x)
    assert [p.start for p in sparse] == [0, 2.5, 5, 7.5]
    for prediction in sparse:
        expected = dense[round(2 * prediction.start)].probabilities
        np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-4)


def held_values(stream):
    "Number of values that a stream holds in memory."
    objects = [stream, *stream.streams]
    tensors = [t for o in objects for v in vars(o).values() for t in (v if isinstance(v, list) else [v])]
    return sum(t.untyped_storage().nbytes() for t in tensors if isinstance(t, torch.Tensor))


@pytest.mark.parametrize("name", ["PCEN", "sliding window", "waveform"])
def test_memory_does_not_grow(name):
    layers = CAUSAL[name] if name in CAUSAL else PER_WINDOW[name][1]
    stream, held = StreamingClassifier(classifier_of(layers), window=2, hop=1, rate=22050), []
    block = recording(0.37, 22050)  # blocks and windows are in step again after 37 s
    for _ in range(300):
        stream.push(block)
        held.append(held_values(stream))
    assert max(held[200:]) <= max(held[:100]) * 1.01


def test_short_streams_and_wrong_blocks():
    classifier = classifier_of(CAUSAL["PCEN"])
    for samples in (0, 1, 128, 150):  # too few for a spectrogram, or for the network
        stream = StreamingClassifier(classifier)
        assert stream.push(np.zeros((1, samples), np.float32)) == stream.finish() == []
    [prediction] = in_blocks(StreamingClassifier(classifier), recording(1))
    assert (prediction.start, prediction.end) == (0, 1)
    with pytest.raises(ValueError, match="has ended"):
        stream.push(np.zeros((1, 8), np.float32))
    with pytest.raises(TypeError, match="divide 16-bit integers by 32768"):
        StreamingClassifier(classifier).push(np.zeros((1, 8), np.int16))
    with pytest.raises(ValueError, match=r"shape \[2, samples\], got \[1, 8\]"):
        StreamingClassifier(classifier_of(MEL, channels=2)).push(np.zeros((1, 8), np.float32))
    with pytest.raises(ValueError, match="Windows of 0.02 s do not fit the model, they may be too short"):
        StreamingClassifier(classifier, window=0.02).push(recording(1))
    for window, hop in ((0, 1), (1, 0), (float("inf"), 1)):
        with pytest.raises(ValueError, match="must be positive"):
            StreamingClassifier(classifier, window, hop)


def raw(x):
    "Samples as 16-bit integers, channel by channel."
    return (x.T * 32767).round().astype("<i2").tobytes()


def test_command_classifies_raw_samples(classifier, tmp_path, monkeypatch, capsys):
    model, x = str(tmp_path / "model.safetensors"), recording(3.2, 8000, 2)
    classifier.save(model)
    command = ["predict", model, "--stream", "--rate", "8000", "--channels", "2", "--window", "1", "--hop", "0.5"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw(x) + b"\0")))  # ends within a sample
    main([*command, "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    quantized = (x * 32767).round() / 32768
    stream = StreamingClassifier(classifier, 1, 0.5, 8000)
    for row, prediction in zip(rows, stream.push(quantized) + stream.finish(), strict=True):
        assert row["start"] == pytest.approx(prediction.start, abs=1e-3)
        assert list(row["probabilities"].values()) == pytest.approx(sorted(prediction.probabilities)[::-1], abs=1e-4)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw(x))))
    main(command)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(rows)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--rate", "8000", "a.wav"], "--rate, --channels and --hop describe a stream"),
        (["--stream", "a.wav"], "got files as well: a.wav"),
        (["a.wav", "--stream"], "got files as well: a.wav"),
        ([], "arguments are required: FILE"),
    ],
)
def test_command_refuses_files_and_streams_together(options, message, capsys):
    with pytest.raises(SystemExit):
        main(["predict", "model.safetensors", *options])
    assert message in capsys.readouterr().err


def test_command_does_not_wait_for_samples_from_a_terminal(monkeypatch, capsys):
    _, terminal = os.openpty()
    with open(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(SystemExit):
            main(["predict", "model.safetensors", "--stream"])
    assert "got a terminal" in capsys.readouterr().err


def test_command_ends_quietly_when_its_output_is_closed(classifier, tmp_path):
    classifier.save(tmp_path / "model.safetensors")
    (tmp_path / "samples").write_bytes(raw(recording(60)))
    arguments = ["predict", str(tmp_path / "model.safetensors"), "--stream", "--window", "0.5", "--json"]
    reader, writer = PROCESSES.Pipe(duplex=False)
    files = tmp_path / "samples", writer, tmp_path / "err"
    process = PROCESSES.Process(target=worker_functions.run_in_pipe, args=(arguments, *files))
    process.start()
    writer.close()
    with os.fdopen(os.dup(reader.fileno())) as lines:
        assert json.loads(lines.readline())["start"] == 0
    reader.close()
    process.join(120)
    assert (process.exitcode, (tmp_path / "err").read_text()) == (141, "")  # as after SIGPIPE
