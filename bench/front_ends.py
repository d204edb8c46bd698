"""Largest difference of each front end from the code that its network was trained with, or from that code's formula.

    uv run bench/front_ends.py [FOLDER] [--clips N]

FOLDER has ESC-50's layout (default: recorded/). The references are the feature extractors of Hugging Face transformers,
`torchaudio.compliance.kaldi.fbank`, librosa for PANNs (torchlibrosa has its formulas), and the formulas of PaSST and
YAMNet in float64 NumPy. The first column compares with the reference as published, which rounds to float32; all others
with its formula in float64: clips alone, clips padded to one length in a batch, silence, and the graphs that
torch.export and ONNX make of the layer.

A difference is relative: the largest one, divided by the largest magnitude of the reference.
"""

import argparse
import io
from functools import partial
from pathlib import Path

import librosa
import numpy as np
import onnxruntime
import torch

import fastaudio_norm  # noqa: F401  torchaudio can be imported
from fastaudio_norm.audio import read_clip
from fastaudio_norm.data import find_audio
from fastaudio_norm.layers import FRONT_ENDS, WhisperFrontEnd

import torchaudio.compliance.kaldi  # isort: skip  after fastaudio_norm
import transformers  # isort: skip  imports torchaudio
from transformers import audio_utils  # isort: skip

KALDI = {"num_mel_bins": 128, "sample_frequency": 16000}
LAYERS = {**FRONT_ENDS, "whisper, 128 bands": lambda: WhisperFrontEnd(128)}


def passt(clip):
    "The formula of `AugmentMelSTFT` in evaluation, in float64: kkoutini/PaSST, models/preprocess.py."
    x = np.convolve(clip.astype(np.float64), [1, -0.97], "valid")
    window = np.pad(np.hanning(800), 112)
    padded = np.pad(x, 512, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::320]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    mel = 1127 * np.log(1 + np.arange(513) * 32000 / 1024 / 700)
    edges = np.linspace(0, 1127 * np.log(1 + 15000 / 700), 130)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clip(0)
    return np.log(filters @ power.T + 1e-5)


def yamnet(clip):
    "`waveform_to_log_mel_spectrogram_patches` before the patches, in float64: yamnet/features.py of tensorflow/models."
    frames = np.lib.stride_tricks.sliding_window_view(clip.astype(np.float64), 400)[::160]
    magnitude = np.abs(np.fft.rfft(frames * np.hanning(401)[:-1], 512))
    mel = 1127 * np.log(1 + np.linspace(0, 8000, 257) / 700)
    edges = np.linspace(1127 * np.log(1 + 125 / 700), 1127 * np.log(1 + 7500 / 700), 66)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clip(0)
    return np.log(filters @ magnitude.T + 0.001)


def panns(clip, dtype=np.float32):
    "`Spectrogram` and `LogmelFilterBank` of torchlibrosa with the options of Cnn14, by librosa in this precision."
    frames = {"sr": 32000, "n_fft": 1024, "hop_length": 320, "pad_mode": "reflect"}
    mel = librosa.feature.melspectrogram(y=clip.astype(dtype), **frames, n_mels=64, fmin=50, fmax=14000, dtype=dtype)
    return librosa.power_to_db(mel, ref=1.0, amin=1e-10, top_db=None)


def padded_kaldi(clip, dtype, **options):
    "Kaldi's filterbank with 1,024 frames, as `ASTFeatureExtractor` computes it in float32."
    spec = torchaudio.compliance.kaldi.fbank(torch.from_numpy(clip)[None].to(dtype), **KALDI, **options)
    return torch.nn.functional.pad(spec.T, (0, 1024))[:, :1024].numpy()


def exact_whisper(clip, bands):
    "The steps of `WhisperFeatureExtractor` in float64, with the functions of transformers."
    filters = audio_utils.mel_filter_bank(201, bands, 0, 8000, 16000, "slaney", "slaney")
    clip = np.pad(clip[:480000].astype(np.float64), (0, max(0, 480000 - len(clip))))
    options = {"power": 2.0, "mel_filters": filters, "log_mel": "log10", "dtype": np.float64}
    spec = audio_utils.spectrogram(clip, audio_utils.window_function(400, "hann"), 400, 160, **options)[:, :-1]
    return np.maximum(spec, spec.max() - 8)


def references():
    "By front end: its reference as published, and in float64; functions from clips [samples] to [bands, frames]."

    def beats(clip, dtype=torch.float32):
        return torchaudio.compliance.kaldi.fbank(torch.from_numpy(clip)[None].to(dtype) * 2**15, **KALDI).T.numpy()

    def whisper(bands):
        extract = transformers.WhisperFeatureExtractor(feature_size=bands)
        published = lambda clip: extract(clip, sampling_rate=16000)["input_features"][0] * 4 - 4  # noqa: E731
        return published, partial(exact_whisper, bands=bands)

    def clap(clip):  # transformers computes in the precision of the clip
        return extract_clap(clip, sampling_rate=48000)["input_features"][0][0].T

    extract_ast = transformers.ASTFeatureExtractor(do_normalize=False)
    extract_clap = transformers.ClapFeatureExtractor(truncation="rand_trunc")
    return {
        "ast": (
            lambda clip: extract_ast(clip, sampling_rate=16000)["input_values"][0].T,
            partial(padded_kaldi, dtype=torch.float64, window_type="hanning"),
        ),
        "beats": (beats, partial(beats, dtype=torch.float64)),
        "passt": (passt, passt),
        "panns": (panns, partial(panns, dtype=np.float64)),
        "yamnet": (yamnet, yamnet),
        "whisper": whisper(80),
        "clap": (clap, lambda clip: clap(clip.astype(np.float64))),
        "whisper, 128 bands": whisper(128),
    }


def difference(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def graphs(layer):
    "Functions that run the layer as exported by torch.export and as an ONNX graph, for clips of any length."
    example, dynamic = torch.randn(2, 1, 3 * layer.rate), ({0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO},)
    with torch.fx.experimental._config.patch(backed_size_oblivious=True):  # sizes of 1 are not a special case
        program = torch.export.export(layer, (example,), dynamic_shapes=dynamic)
    onnx = io.BytesIO()
    torch.onnx.export(program, dynamo=True, verbose=False, input_names=["waveform"]).save(onnx)
    session = onnxruntime.InferenceSession(onnx.getvalue())
    module = program.module()
    return {
        "program": lambda x: module(x).numpy(),
        "ONNX": lambda x: session.run(None, {"waveform": x.numpy()})[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=Path(__file__).parents[1] / "recorded", metavar="FOLDER")
    parser.add_argument("--clips", type=int, default=20, metavar="N", help="clips to compare (default: 20)")
    args = parser.parse_args()
    every = find_audio(args.folder)
    files = every[:: max(1, len(every) // args.clips)][: args.clips]
    names = ["published", "alone", "in a batch", "silence", "program", "ONNX"]
    print(f"{len(files)} clips of {args.folder}\n\n{'front end':<20}" + "".join(f"{name:>13}" for name in names))
    expected_of = references()
    for name, make in LAYERS.items():
        layer, worst = make(), dict.fromkeys(names, 0.0)
        clips = [torch.as_tensor(np.asarray(read_clip(file, layer.rate))) for file in files]
        longest = max(clip.shape[-1] for clip in clips)
        batch = torch.stack([torch.nn.functional.pad(clip, (0, longest - clip.shape[-1])) for clip in clips[:4]])
        cases = [(case, clip[None], layer) for clip in clips for case in ("published", "alone")]
        cases += [("silence", torch.zeros(1, 1, 2 * layer.rate), layer), ("in a batch", batch, layer)]
        cases += [(graph, x[None], f) for graph, f in graphs(layer).items() for x in clips[:4]]
        for case, x, f in cases:
            with torch.no_grad():
                found = np.asarray(f(x))
            reference = expected_of[name][case != "published"]
            expected = np.stack([reference(clip[0].numpy()) for clip in x])[:, None]
            worst[case] = max(worst[case], difference(found, expected))
        print(f"{name:<20}" + "".join(f"{worst[case]:13.1e}" for case in names), flush=True)


if __name__ == "__main__":
    main()
