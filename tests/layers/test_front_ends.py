"""Front ends of pretrained networks compute what the networks were trained on; the references are in float64."""

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from librosa.filters import mel as librosa_mel

from fastaudio_norm.layers import (
    FRONT_ENDS,
    ASTFrontEnd,
    BEATsFrontEnd,
    CLAPFrontEnd,
    PANNsFrontEnd,
    PaSSTFrontEnd,
    WhisperFrontEnd,
    YAMNetFrontEnd,
    mel_filters,
)

LAYERS = {**FRONT_ENDS, "whisper-128": lambda: WhisperFrontEnd(128)}


def kaldi(clip, **options):
    clip = torch.from_numpy(clip)[None]
    spec = torchaudio.compliance.kaldi.fbank(clip, num_mel_bins=128, sample_frequency=16000, **options)
    return spec.T.numpy()


def power(clip, window, n_fft, hop):
    padded = np.pad(clip, n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    return np.abs(np.fft.rfft(frames * window)).T ** 2


def passt(clip):
    mel = 1127 * np.log(1 + np.arange(513) * 32000 / 1024 / 700)
    edges = np.linspace(0, 1127 * np.log(1 + 15000 / 700), 130)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clip(0)
    emphasized = np.convolve(clip, [1, -0.97], "valid")
    return np.log(filters @ power(emphasized, np.pad(np.hanning(800), 112), 1024, 320) + 1e-5)


def panns(clip):
    filters = librosa_mel(sr=32000, n_fft=1024, n_mels=64, fmin=50, fmax=14000, dtype=np.float64)
    return 10 * np.log10(np.maximum(filters @ power(clip, np.hanning(1025)[:-1], 1024, 320), 1e-10))


def yamnet(clip):
    mel = 1127 * np.log(1 + np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(*1127 * np.log(1 + np.array([125, 7500]) / 700), 66)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    filters = np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)).clip(0)
    frames = np.lib.stride_tricks.sliding_window_view(clip, 400)[::160]
    return np.log(filters @ np.abs(np.fft.rfft(frames * np.hanning(401)[:-1], 512)).T + 1e-3)


def whisper(clip, bands):
    clip = np.pad(clip[:480000], (0, max(0, 480000 - len(clip))))
    filters = librosa_mel(sr=16000, n_fft=400, n_mels=bands, dtype=np.float64)
    spec = np.log10(np.maximum(filters @ power(clip, np.hanning(401)[:-1], 400, 160)[:, :-1], 1e-10))
    return np.maximum(spec, spec.max() - 8)


def clap(clip):
    clip = np.tile(clip, max(1, 480000 // len(clip)))[:480000]
    clip = np.pad(clip, (0, 480000 - len(clip)))
    filters = librosa_mel(sr=48000, n_fft=1024, n_mels=64, fmax=14000, dtype=np.float64)
    return 10 * np.log10(np.maximum(filters @ power(clip, np.hanning(1025)[:-1], 1024, 480), 1e-10))


REFERENCES = {
    "ast": lambda clip: np.pad(kaldi(clip, window_type="hanning"), ((0, 0), (0, 1024)))[:, :1024],
    "beats": lambda clip: kaldi(clip * 2**15),
    "passt": passt,
    "panns": panns,
    "yamnet": yamnet,
    "whisper": lambda clip: whisper(clip, 80),
    "clap": clap,
    "whisper-128": lambda clip: whisper(clip, 128),
}


@pytest.fixture(scope="module")
def recorded(sounds):
    "Waveforms [1, 1, samples] of a dog, of rain with an offset, and of silence; their rate does not matter here."
    files = (sounds / "audio" / "1-100032-A-0.ogg", sounds / "audio" / "1-17367-A-10.ogg")
    dog, rain = (torch.from_numpy(soundfile.read(file, 40000, dtype="float32")[0])[None, None] for file in files)
    return dog, rain + 0.2, torch.zeros(1, 1, 5000)


@pytest.mark.parametrize("name", LAYERS)
def test_spectrograms_equal_the_reference(name, recorded):
    layer = LAYERS[name]()
    for x in recorded:
        found, expected = layer(x)[0, 0], REFERENCES[name](x[0, 0].double().numpy())
        assert found.shape == expected.shape and found.dtype == torch.float32
        assert np.abs(found.numpy() - expected).max() < 3e-5 * np.abs(expected).max()
        assert (layer(x.double())[0, 0].numpy() - expected).std() < 1e-5


@pytest.mark.parametrize("name", LAYERS)
def test_clips_of_a_batch_do_not_affect_each_other(name, recorded):
    layer, (dog, rain, _) = LAYERS[name](), recorded
    batch = layer(torch.cat([dog[..., :40000], rain[..., :40000]]))
    for clip, spec in zip((dog, rain), batch):
        torch.testing.assert_close(layer(clip)[0], spec, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(layer(clip[0]), spec, rtol=1e-5, atol=1e-5)  # without a batch dimension


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_exported_layers_accept_any_number_and_length_of_clips(name):
    layer, dynamic = FRONT_ENDS[name](), {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO}
    with torch.fx.experimental._config.patch(backed_size_oblivious=True):
        program = torch.export.export(layer, (torch.randn(2, 1, 9000),), dynamic_shapes=(dynamic,)).module()
    for shape in [(1, 1, 600), (3, 1, 20000)]:
        x = torch.randn(shape)
        torch.testing.assert_close(program(x), layer(x))


def test_lengths_are_those_that_the_networks_take():
    long = torch.cat([0.01 * torch.randn(1, 1, 168000), torch.ones(1, 1, 400000).cumsum(-1) % 2], -1)
    assert torch.equal(ASTFrontEnd()(long), ASTFrontEnd()(long[..., :168000]))
    assert ASTFrontEnd(512)(long).shape[-1] == 512
    assert torch.equal(WhisperFrontEnd()(long), WhisperFrontEnd()(long[..., :480000]))
    assert torch.equal(CLAPFrontEnd()(long), CLAPFrontEnd()(long[..., :480000]))
    twice = long[..., :200000]  # fits in twice, then silence
    assert torch.equal(CLAPFrontEnd()(twice), CLAPFrontEnd()(torch.cat([twice, twice], -1)))
    assert (CLAPFrontEnd()(twice)[..., 840:] == -100).all()
    assert WhisperFrontEnd()(long[..., :1]).shape == (1, 1, 80, 3000)


@pytest.mark.parametrize(
    "layer, x, error, message",
    [
        (ASTFrontEnd(), torch.zeros(2, 2, 16000), ValueError, r"AST takes mono .*, got 2 channels. Average them"),
        (BEATsFrontEnd(), torch.zeros(1, 399), ValueError, "BEATs needs at least 400 samples at 16,000 Hz, got 399"),
        (PaSSTFrontEnd(), torch.zeros(1, 513), ValueError, "at least 514 samples at 32,000 Hz, got 513"),
        (PANNsFrontEnd(), torch.zeros(1, 512), ValueError, "PANNs needs at least 513 samples at 32,000 Hz, got 512"),
        (YAMNetFrontEnd(), torch.zeros(1, 399), ValueError, "at least 400 samples at 16,000 Hz, got 399"),
        (WhisperFrontEnd(), torch.zeros(1, 0), ValueError, "at least 1 sample at 16,000 Hz, got 0"),
        (CLAPFrontEnd(), torch.zeros(9), ValueError, r"\[..., channels, samples\]"),
        (CLAPFrontEnd(), torch.zeros(1, 9000, dtype=torch.int16), TypeError, "floating-point samples"),
        (CLAPFrontEnd(), torch.zeros(1, 9000, dtype=torch.complex64), TypeError, "Expected real numbers"),
    ],
)
def test_what_the_networks_do_not_take_is_refused(layer, x, error, message):
    with pytest.raises(error, match=message):
        layer(x)


def test_a_spectrogram_without_frames_is_refused():
    with pytest.raises(ValueError, match="`frames` must be at least 1, got 0"):
        ASTFrontEnd(0)


def test_half_precision_and_autocast_do_not_round_power():
    x = 0.9 * torch.sin(torch.arange(9000) / 7)[None, None]
    for name, make in FRONT_ENDS.items():
        layer = make()
        expected = layer(x.half().float())
        assert torch.equal(layer(x.half()), expected), name
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer(x.half().float()), expected), name


@pytest.mark.parametrize("kind, norm", [("htk", None), ("slaney", "slaney")])
def test_mel_filters_equal_librosas(kind, norm):
    theirs = librosa_mel(
        sr=22050, n_fft=1024, n_mels=40, fmin=50, fmax=9000, htk=kind == "htk", norm=norm, dtype=np.float64
    )
    np.testing.assert_allclose(mel_filters(1024, 40, 50, 9000, 22050, kind).T, theirs, atol=1e-12)


def test_layers_move_to_devices_without_float64():
    "MPS lacks float64: a module with float64 parameters or buffers cannot be moved there."
    for make in LAYERS.values():
        assert not [tensor for tensor in make().state_dict().values() if tensor.dtype == torch.float64]
        with torch.device("meta"):  # where layers of model files are created
            layer = make()
        torch.testing.assert_close(layer(torch.zeros(1, 1, 9000)), make()(torch.zeros(1, 1, 9000)))
