"""What the page shows of a file: the model's prediction, and spectrograms before and after normalization."""

import sys

import numpy as np
import pytest
import soundfile
import torch

from fastaudio_norm.audio import BadAudio
from fastaudio_norm.cli.main import main
from fastaudio_norm.layers import AudioNorm, PCENLayer, SpecNorm
from fastaudio_norm.serve import Decibels, Downmix, SoundClassifier, Spectrum, predict
from fastaudio_norm.serve.app import show_file, spectrograms

TO_DB = [Downmix(), Spectrum(n_fft=64), Decibels()]


class Quantiles(torch.nn.Module):
    "Three logits of a spectrogram."

    def forward(self, spec):
        return torch.quantile(spec.flatten(1), torch.tensor([0.1, 0.5, 0.9]), dim=1).T / 20


def model(layers=TO_DB, **options):
    return SoundClassifier(layers, Quantiles(), ["a", "b", "c"], 16000, **options)


@pytest.mark.parametrize("norms", [[AudioNorm(16000, "peak")], [], [SpecNorm((2, 3))], [SpecNorm((3,), "robust")]])
def test_only_the_second_spectrogram_is_normalized(norms):
    layers = [layer for layer in norms if isinstance(layer, AudioNorm)] + TO_DB
    layers += [layer for layer in norms if isinstance(layer, SpecNorm)]
    x = 0.1 * torch.randn(2, 4000)
    before, after = spectrograms(model(layers), x, 16000).values()
    torch.testing.assert_close(before, torch.nn.Sequential(*TO_DB)(x[None])[0])
    torch.testing.assert_close(after, torch.nn.Sequential(*layers)(x[None])[0])
    assert torch.equal(before, after) == (not norms)


def test_the_spectrogram_before_pcen_is_in_decibels():
    layers = [Spectrum(n_fft=64), PCENLayer(None, 500)]
    x = 0.1 * torch.randn(1, 4000)
    before, after = spectrograms(model(layers), x, 16000).values()
    torch.testing.assert_close(before, Decibels()(layers[0](x)))
    torch.testing.assert_close(after, torch.nn.Sequential(*layers)(x[None])[0])


@pytest.mark.parametrize("rate, channels", [(16000, 1), (44100, 2)])
@pytest.mark.parametrize("target", ["label", "labels", "numbers"])
def test_the_prediction_is_that_of_predict(target, rate, channels, make_file):
    classifier, file = model(target=target), make_file(rate, 0.5, channels)
    [expected] = predict(classifier, file)
    shown = show_file(classifier, file)
    assert shown.outputs == dict(zip("abc", map(float, expected.probabilities)))
    [(start, end, decision)] = shown.windows
    assert (start, end, decision) == (0, 0.5, shown.decision)
    if target != "numbers":
        assert decision == (", ".join(classifier.decide(expected.probabilities)) or "none")
    assert [ax.get_title() for ax in shown.figure.axes[:2]] == ["Before normalization (dB)", "After normalization"]


def test_a_long_file_shows_the_mean_of_its_windows(make_file):
    classifier, file = model(), make_file(8000, 61.0)
    shown = show_file(classifier, file)
    every = [window.probabilities for window in predict(classifier, file)]
    assert len(shown.windows) == len(every) == 7
    np.testing.assert_allclose(list(shown.outputs.values()), np.mean(every, 0), rtol=1e-5)


def test_an_export_shows_no_spectrogram(make_file, tmp_path):
    from fastaudio_norm.serve import load_model

    classifier, file = model(), make_file()
    classifier.save_program(tmp_path / "model.pt2")
    shown, expected = (show_file(m, file) for m in (load_model(tmp_path / "model.pt2"), classifier))
    assert shown.figure is None and shown.decision == expected.decision


def test_files_that_are_too_long_are_refused(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(601 * 1000), 1000)
    with pytest.raises(BadAudio, match="expected at most 600 s, got 601 s"):
        show_file(model(), tmp_path / "long.wav")


def test_without_gradio_there_is_a_message(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit) as stopped:
        main(["app", str(tmp_path / "model.safetensors")])
    assert stopped.value.code == 2 and 'pip install "fastaudio-norm[app]"' in capsys.readouterr().err
