"""A trained network outside of fastai: the same probabilities everywhere, and files that cannot be trusted."""

import copy
import json
import pickle
import struct
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import scipy.signal
import soundfile
import torch
from fastai.learner import load_learner
from fastaudio.augment.signal import ResizeSignal
from fastaudio.core.signal import AudioTensor
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from fastaudio_norm.audio.augment import ActiveCrop
from fastaudio_norm.audio.cache import cached_clips
from fastaudio_norm.audio.spectrograms import SAMPLE_RATE
from fastaudio_norm.cli.main import main
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import read_esc50
from fastaudio_norm.serve.classifier import (
    Decibels,
    Filters,
    LoudestCrop,
    Pad,
    ResampleLayer,
    SoundClassifier,
    Spectrum,
    _of_any_size,
    _replace,
    as_pipeline,
    predict,
)
from fastaudio_norm.train.learner import spec_learner, train_run
from fastaudio_norm.train.recipe import RECIPES, Recipe, make_tfms

STRONG = RECIPES["strong"]._replace(epochs=1, crop=0.4)


def trained(df, path, norm="wave+channel", recipe=Recipe(epochs=1)):  # noqa: B008
    dls = get_dls(df, path, 1, 10, *make_tfms(norm, recipe), SAMPLE_RATE, cached_clips(df, path), num_workers=0)
    return train_run(dls, recipe)


@pytest.fixture(scope="module")
def learn(made_up):
    return trained(read_esc50(made_up), made_up)


@pytest.fixture(scope="module")
def classifier(learn):
    return as_pipeline(learn)


@pytest.fixture
def make_file(tmp_path):
    "Writes a clip of noise and tone; float, so that nothing is rounded."

    def make(rate=SAMPLE_RATE, seconds=1.0, channels=1, name="clip.wav"):
        rng = np.random.default_rng(rate + channels)
        t = np.arange(round(rate * seconds)) / rate
        clip = 0.1 * rng.standard_normal((len(t), channels)) + 0.3 * np.sin(2 * np.pi * 700 * t)[:, None]
        soundfile.write(tmp_path / name, clip, rate, subtype="FLOAT")
        return tmp_path / name

    return make


def by_fastai(learn, file):
    with learn.no_bar():
        return learn.predict(file)[2].numpy()


def wave(file):
    return torch.from_numpy(soundfile.read(file, dtype="float32", always_2d=True)[0].T.copy())[None]


ANY = torch.export.Dim.AUTO
FORMS = [
    (SAMPLE_RATE, 1.0, 1),
    (8000, 2.0, 1),
    (22050, 0.5, 2),
    (44100, 3.1, 1),
    (44100, 0.5, 2),
    (44100, 20.0, 1),
    (48000, 1.0, 3),
]


@pytest.mark.parametrize("old, new", [(44100, 16000), (8000, 16000), (48000, 16000), (22050, 16000), (3, 2), (7, 1000)])
def test_resampling_is_scipys(old, new):
    x = np.random.default_rng(0).standard_normal((2, 3, 3001)).astype(np.float32)
    for samples in (1, 2, 50, 3001):
        expected = scipy.signal.resample_poly(x[..., :samples], new, old, axis=-1)
        found = ResampleLayer(old, new)(torch.from_numpy(x[..., :samples])).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "norm, recipe",
    [
        ("wave+channel", Recipe(epochs=1)),
        ("pcen", STRONG),
        ("rms+local-channel-robust", Recipe(spec="linear", epochs=1)),
        ("short-time+sliding", Recipe(spec="gammatone", deltas=True, epochs=1)),
    ],
)
def test_the_same_probabilities_everywhere(norm, recipe, df, made_up, make_file, tmp_path):
    "fastai, the module, the saved module, its graph and onnxruntime, for any rate, length and number of channels."
    learn = trained(df, made_up, norm, recipe)
    classifier = as_pipeline(learn)
    classifier.save(tmp_path / "model.safetensors")
    again = SoundClassifier.load(tmp_path / "model.safetensors")
    classifier.to_onnx(tmp_path / "model.onnx", 44100)
    graph, session = classifier.program(44100).module(), onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for rate, seconds, channels in FORMS:
        file = make_file(rate, seconds, channels)
        expected, x = by_fastai(learn, file), wave(file)
        [whole] = predict(again, file)
        found = {"module": classifier.at(rate)(x)[0].numpy(), "saved": whole.probabilities}
        if rate == 44100:
            found |= {"graph": graph(x)[0].detach().numpy(), "onnx": session.run(None, {"waveform": x.numpy()})[0][0]}
        for name, probabilities in found.items():
            np.testing.assert_allclose(probabilities, expected, atol=1e-4, err_msg=f"{name}, {rate} Hz, {seconds} s")
        assert np.isclose(expected.sum(), 1, atol=1e-5)


def test_learners_predict_files_where_the_cache_is_gone(df, made_up, make_file, tmp_path):
    clips = cached_clips(df, made_up, folder=tmp_path / "cache")
    dls = get_dls(df, made_up, 1, 10, *make_tfms("channel"), SAMPLE_RATE, clips, num_workers=0)
    learn, file = spec_learner(dls), make_file(44100)
    expected = by_fastai(learn, file)
    learn.export(tmp_path / "learn.pkl")
    clips.path.unlink()
    again = load_learner(tmp_path / "learn.pkl")
    np.testing.assert_allclose(by_fastai(again, file), expected, atol=1e-6)
    np.testing.assert_allclose(next(predict(as_pipeline(again), file)).probabilities, expected, atol=1e-4)


def test_nothing_of_ours_is_needed_to_run_a_graph(classifier, make_file, tmp_path):
    "The program is run where neither fastai nor fastaudio nor this package can be imported."
    file = make_file(44100)
    expected = classifier.at(44100)(wave(file))[0]
    torch.export.save(classifier.program(44100), tmp_path / "model.pt2")
    np.save(tmp_path / "wave.npy", wave(file).numpy())
    code = f"""
import sys
for name in ("fastai", "fastaudio", "fastcore", "fastaudio_norm", "torchaudio"):
    sys.modules[name] = None  # so that importing it fails
import json, numpy, torch
program = torch.export.load({str(tmp_path / "model.pt2")!r}).module()
print(json.dumps(program(torch.from_numpy(numpy.load({str(tmp_path / "wave.npy")!r})))[0].tolist()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(json.loads(done.stdout), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(7, 8), (16, 9), (21, 33), (2, 2)])
@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((2, 3), (1, 2)),
        nn.AvgPool2d(2), nn.AvgPool2d(3, 2), nn.AvgPool2d(2, ceil_mode=True),
    ],
)  # fmt: skip
def test_pools_of_graphs_are_those_of_torch(pool, shape):
    x = torch.randn(2, 3, *shape)
    if min(shape) >= 3:
        replaced = nn.Sequential(pool)
        _replace(replaced, _of_any_size)
        assert not isinstance(replaced[0], type(pool))
        torch.testing.assert_close(replaced(x), pool(x))


class Quietest(nn.Module):
    "The lower its level, the more probable a bin."

    def forward(self, spec):
        return -spec.mean((1, 3))


def test_onnxruntime_hears_the_quietest_bins(classifier, tmp_path):
    "A tone 100 dB above what is in the other bins, where a Fourier transform in float32 is a dB off."
    layers = [layer for layer in classifier.front if isinstance(layer, (Spectrum, Filters, Decibels))]
    classifier = SoundClassifier(layers, Quietest(), range(64), SAMPLE_RATE)
    classifier.to_onnx(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    t = torch.arange(SAMPLE_RATE) / SAMPLE_RATE
    noise = torch.randn(10, 1, SAMPLE_RATE, generator=torch.Generator().manual_seed(0))
    x = 0.9 * torch.sin(2 * torch.pi * 440 * t) + 1e-6 * noise
    expected = copy.deepcopy(classifier).double()(x.double())
    found = session.run(None, {"waveform": x.numpy()})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_long_files_in_windows(classifier, make_file):
    file = make_file(8000, 61.0)
    parts = list(predict(classifier, file))
    assert [(part.start, part.end) for part in parts] == [(s, min(s + 10, 61)) for s in range(0, 61, 10)]
    samples, rate = soundfile.read(file, dtype="float32")
    second = classifier.at(rate)(torch.from_numpy(samples[80000:160000])[None, None])[0]
    np.testing.assert_allclose(parts[1].probabilities, second, atol=1e-5)
    assert len(list(predict(classifier, make_file(8000, 60.0)))) == 1
    assert len(list(predict(classifier, make_file(8000, 1.0), window=0.3))) == 4


def test_predict_command(classifier, make_file, tmp_path, capsys):
    classifier.save(tmp_path / "model.safetensors")
    files = [make_file(name="a.wav"), make_file(44100, 2.0, 2, name="b c.wav")]
    main(["predict", str(tmp_path / "model.safetensors"), *map(str, files), "--window", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "a.wav" in lines[1] and "1.00     2.00" in lines[3]
    main(["predict", str(tmp_path / "model.safetensors"), *map(str, files), "--json"])
    first, second = json.loads(capsys.readouterr().out)
    [expected] = predict(classifier, files[0])
    assert first["class"] == classifier.classes[expected.probabilities.argmax()] == list(first["probabilities"])[0]
    for name, p in zip(classifier.classes, expected.probabilities):
        assert first["probabilities"][name] == pytest.approx(p, abs=1e-5)
    assert second["file"].endswith("b c.wav") and (second["start"], second["end"]) == (0, 2)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "it is empty"),
        (b"this is no sound" * 100, "no audio that can be read"),
        (np.zeros((0, 1)), "no samples"),
        (np.full((16000, 1), np.nan), "NaN or infinite"),
        (np.ones((1, 1)), "too few"),
    ],
)
def test_files_that_cannot_be_judged(content, message, classifier, tmp_path, capsys):
    file = tmp_path / "bad.wav"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        soundfile.write(file, content, 16000, subtype="FLOAT")
    classifier.save(tmp_path / "model.safetensors")
    with pytest.raises(SystemExit) as stopped:
        main(["predict", str(tmp_path / "model.safetensors"), str(file)])
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and message in err and "bad.wav" in err and "Traceback" not in err


def test_transforms_without_a_layer_are_refused(df, made_up):
    items, batches = make_tfms("channel")
    learn = spec_learner(get_dls(df, made_up, 1, 10, [*items, ResizeSignal(300)], batches, num_workers=0))
    with pytest.raises(ValueError, match="cannot hold ResizeSignal"):
        as_pipeline(learn)


def test_networks_without_a_name_can_be_exported_but_not_saved(learn, tmp_path):
    nameless = as_pipeline(learn)
    nameless.arch = None
    with pytest.raises(ValueError, match="XResNet has no name"):
        nameless.save(tmp_path / "model.safetensors")
    nameless.arch = "xresnet34"  # is not what it is called
    with pytest.raises(ValueError, match="not those that its layers have"):
        nameless.save(tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


def test_the_loudest_crop_is_that_of_validation():
    crop, layer = ActiveCrop(0.25), nn.Sequential(Pad(4000), LoudestCrop(4000))
    with torch.fx.experimental._config.patch(backed_size_oblivious=True):  # as `SoundClassifier.program` does
        program = torch.export.export(layer, (torch.randn(2, 2, 9000),), dynamic_shapes=({0: ANY, 2: ANY},)).module()
    for samples in (9000, 4001, 4000, 100):
        x = torch.randn(3, 2, samples) * torch.rand(3, 1, samples).cumsum(-1)
        expected = torch.stack([crop(AudioTensor(clip, sr=16000), split_idx=1).as_subclass(torch.Tensor) for clip in x])
        assert torch.equal(layer(x), expected) and torch.equal(program(x), expected)


def test_short_clips_are_filled():
    for samples in (1, 9, 10, 30):
        assert Pad(10)(torch.ones(1, 1, samples)).shape[-1] == max(10, samples)


# ---- files that cannot be trusted


class _Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def changed(path, change):
    "The saved model with its description changed."
    with safe_open(path, "pt") as file:
        about = json.loads(file.metadata()["about"])
    state = load_file(path)
    change(about, state)
    save_file(state, path, {"about": json.dumps(about)})


def _set(*keys, to):
    def change(about, state):
        *way, last = keys
        for key in way:
            about = about[key]
        about[last] = to

    return change


HOSTILE = {
    "a layer that is none": _set("layers", 0, to=["Sequential", {}]),
    "a layer by path": _set("layers", 0, to=["../../layers", {}]),
    "a network by path": _set("network", "arch", to="../../etc/passwd"),
    "a network of another kind": _set("network", "arch", to="resnet18"),
    "options of another layer": _set("layers", 0, to=["Pad", {"window": 3}]),
    "a huge spectrum": lambda about, state: about["layers"][2][1].update(n_fft=10**12, win_length=10**12),
    "huge statistics": lambda about, state: about["layers"][-1][1].update(shape=[10**6, 10**6, 10**6, 1]),
    "negative sizes": lambda about, state: about["layers"][-1][1].update(shape=[-1]),
    "many channels": _set("network", "n_in", to=10**9),
    "no sample rate": _set("sample_rate", to=0),
    "no classes": _set("classes", to=[]),
    "fewer classes": _set("classes", to=["a"]),
    "no layers": _set("layers", to=7),
    "another kind of file": _set("kind", to="recorder"),
    "a later version": _set("version", to=99),
    "another shape": lambda about, state: state.update({"front.5.offset": torch.zeros(1)}),
    "another type": lambda about, state: state.update({"front.5.offset": torch.zeros(1, 1, 64, 1).half()}),
    "a tensor too few": lambda about, state: state.pop(next(iter(state))),
    "a tensor too many": lambda about, state: state.update(more=torch.zeros(1)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_models_that_do_not_fit_together_are_refused(name, classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    assert isinstance(classifier.front[-1], type(SoundClassifier.load(path).front[-1]))
    changed(path, HOSTILE[name])
    with pytest.raises(ValueError, match="model.safetensors is no model"):
        SoundClassifier.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        pickle.dumps(_Bomb()),
        b"PK\x03\x04" + bytes(100),
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"{}",
        struct.pack("<Q", 64) + b'{"x": {"dtype": "F32", "shape": [99], "data_offsets": [0, 9]}}  ',
    ],
)
def test_files_that_are_no_safetensors_are_refused_and_nothing_is_executed(content, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        main(["predict", str(path), "any.wav"])
    assert stopped.value.code == 2 and "model.safetensors is no model" in capsys.readouterr().err


def test_a_model_cut_short_is_refused(classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut short"):
        SoundClassifier.load(path)
