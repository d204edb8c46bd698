"""Model files are saved without code, load again, and are refused when they cannot be trusted."""

import json
import pickle
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support import SMALL_ARCH

from fastaudio_norm.cli.main import main
from fastaudio_norm.serve import SoundClassifier, as_pipeline
from fastaudio_norm.train import find_arch


def test_a_network_is_saved_under_its_own_name_or_none(classifier, tmp_path):
    path, x = tmp_path / "model.safetensors", 0.1 * torch.randn(2, 1, 16000)
    classifier.arch = "xresnet18"  # it is another network
    with pytest.raises(ValueError, match="the tensors do not match the layers and the network"):
        classifier.save(path)
    assert not path.exists()
    classifier.arch = None
    classifier.save(path)
    with pytest.raises(ValueError, match="If the network is your own, pass `network`"):
        SoundClassifier.load(path)
    assert torch.equal(SoundClassifier.load(path, find_arch(SMALL_ARCH))(x), classifier(x))


def test_models_of_version_1_load(classifier, tmp_path):
    "They describe neither the target nor the channels: one label per clip, any number of channels."
    path, x = tmp_path / "model.safetensors", 0.1 * torch.randn(2, 2, 16000)
    classifier.save(path)
    about, state = read_model(path)
    about["version"] = 1
    for name in ("target", "thresholds", "channels"):
        del about[name]
    write_model(path, about, state)
    loaded = SoundClassifier.load(path)
    assert loaded.about == classifier.about and torch.equal(loaded(x), classifier(x))


def read_model(path):
    "Description and tensors of a model file."
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["about"]), load_file(path)


def write_model(path, about, state):
    save_file(state, path, {"about": json.dumps(about)})


def test_models_with_the_former_name_of_pcen_load(train, tmp_path):
    "Files with the layer kind `PCENNorm` have the options of PCEN with fixed parameters."
    path, x = tmp_path / "model.safetensors", 0.1 * torch.randn(2, 1, 16000)
    classifier = as_pipeline(train("pcen"))
    expected = classifier(x)
    classifier.save(path)
    about, state = read_model(path)
    options = {"frame_rate": 31.25, "time_constant": 0.4, "gain": 0.98, "bias": 2.0, "power": 0.5, "eps": 1e-6}
    about["layers"][-1] = ["PCENNorm", {**options, "scale": 2.0**31}]
    write_model(path, about, state)
    torch.testing.assert_close(SoundClassifier.load(path)(x), expected, rtol=0, atol=0)


# ---- files that cannot be trusted


class _Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def _set(*keys, to):
    def change(about, state):
        *parents, last = keys
        for key in parents:
            about = about[key]
        about[last] = to

    return change


HOSTILE = {
    "an unknown layer": _set("layers", 0, to=["Sequential", {}]),
    "a layer by path": _set("layers", 0, to=["../../layers", {}]),
    "a network by path": _set("network", "arch", to="../../etc/passwd"),
    "a network of another kind": _set("network", "arch", to="resnet18"),
    "options of another layer": _set("layers", 0, to=["Pad", {"window": 3}]),
    "a huge spectrum": lambda about, state: about["layers"][2][1].update(n_fft=10**12, win_length=10**12),
    "huge statistics": lambda about, state: about["layers"][-1][1].update(shape=[10**6, 10**6, 10**6, 1]),
    "negative sizes": lambda about, state: about["layers"][-1][1].update(shape=[-1]),
    "many channels": _set("network", "n_in", to=10**9),
    "sample rate 0": _set("sample_rate", to=0),
    "an unknown target": _set("target", to="__class__"),
    "thresholds for one label": _set("thresholds", to=0.3),
    "no classes": _set("classes", to=[]),
    "fewer classes": _set("classes", to=["a"]),
    "layers that are not a list": _set("layers", to=7),
    "another kind of file": _set("kind", to="recorder"),
    "a later version": _set("version", to=99),
    "a tensor of another shape": lambda about, state: state.update({"front.5.offset": torch.zeros(1)}),
    "a tensor of another type": lambda about, state: state.update({"front.5.offset": torch.zeros(1, 1, 64, 1).half()}),
    "a missing tensor": lambda about, state: state.pop(next(iter(state))),
    "an additional tensor": lambda about, state: state.update(more=torch.zeros(1)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_inconsistent_model_is_refused(name, classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    assert isinstance(classifier.front[-1], type(SoundClassifier.load(path).front[-1]))
    about, state = read_model(path)
    HOSTILE[name](about, state)
    write_model(path, about, state)
    with pytest.raises(ValueError, match="model.safetensors is not a (valid )?model file"):
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
def test_a_file_of_another_format_is_refused_and_not_executed(content, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(SystemExit) as stopped:
        main(["predict", str(path), "any.wav"])
    assert stopped.value.code == 2 and "model.safetensors is not a model file" in capsys.readouterr().err


def test_a_truncated_model_is_refused(classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is truncated"):
        SoundClassifier.load(path)


# ---- files that cost much


def layers_with(kind, **options):
    "Change of a description: another layer in place of the first one, which has no tensors either."
    return _set("layers", 0, to=[kind, options])


def spectrum_with(**options):
    return lambda about, state: next(o for kind, o in about["layers"] if kind == "Spectrum").update(options)


COSTLY = {
    "long padding": layers_with("Pad", samples=10**12),
    "padding of minutes, and a dense spectrogram": lambda about, state: (
        layers_with("Resize", samples=10**7)(about, state), spectrum_with(hop_length=16)(about, state)
    ),
    "a dense spectrogram": spectrum_with(hop_length=1, n_fft=2**13),
    "a huge Fourier transform": spectrum_with(n_fft=2**23),
    "no hop": spectrum_with(hop_length=0),
    "a negative hop": spectrum_with(hop_length=-512),
    "wide differences": lambda about, state: about["layers"].append(["Deltas", {"width": 10**6 + 1}]),
    "a long window": layers_with("ShortTimeNorm", window=2**24),
    "a window of no samples": layers_with("ShortTimeNorm", window=0),
    "a length that is text": layers_with("Pad", samples="16000"),
    "a length that is not a number": layers_with("Resize", samples=float("nan")),
    "nested options": layers_with("SlidingNorm", window=[[1] * 9] * 9),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTLY)
def test_layers_that_would_take_much_memory_or_time_are_refused_at_load(name, classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    about, state = read_model(path)
    COSTLY[name](about, state)
    write_model(path, about, state)
    with pytest.raises(ValueError, match="is not a valid model file: (?!the tensors)"):
        SoundClassifier.load(path)


@pytest.mark.parametrize("arch", ["regnet_y_128gf", "vision_learner:vit_l_16"])
def test_a_short_file_cannot_build_a_network_of_gigabytes(arch, classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    about, state = read_model(path)
    about["network"] |= {"arch": arch, "n_in": None}
    write_model(path, about, {name: tensor for name, tensor in state.items() if tensor.numel() < 10})
    with pytest.raises(ValueError, match="the network has far more parameters than the [0-9,]+ bytes of tensors"):
        SoundClassifier.load(path)
