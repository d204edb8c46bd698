"""Contents of the page: predictions, spectrograms before and after normalization, and outputs over time."""

import sys
import warnings

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from fastaudio_norm.audio import BadAudio
from fastaudio_norm.cli.main import main
from fastaudio_norm.layers import ASTFrontEnd, AudioNorm, BEATsFrontEnd, GroupedSpecNorm, PCENLayer, SpecNorm
from fastaudio_norm.serve import Decibels, Downmix, Prediction, SoundClassifier, Spectrum, predict, predict_files
from fastaudio_norm.serve.app_figures import MAX_DRAWN, plot_windows, spectrogram_frequencies, spectrograms
from fastaudio_norm.serve.app_results import classify_files, show_file
from fastaudio_norm.serve.front_end import Filters

GROUPS = {"phone": 3.0, "watch": -5.0}  # mean level by which each group is normalized
TO_DB = [Downmix(), Spectrum(n_fft=64), Decibels()]
MEL = torchaudio.functional.melscale_fbanks(257, 20, 8000, 128, 16000)  # narrower than the bins at low frequencies


class Range(torch.nn.Module):
    "Three logits of a spectrogram."

    def forward(self, spec):
        values = spec.flatten(1)
        return torch.stack([values.amin(1), values.mean(1), values.amax(1)], 1) / 20


def model(layers=TO_DB, **options):
    return SoundClassifier(layers, Range(), ["a", "b", "c"], 16000, **options)


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


@pytest.mark.parametrize("front", [[Spectrum(n_fft=512), Filters.from_weights(MEL)], [ASTFrontEnd()], TO_DB])
@pytest.mark.parametrize("tone", [500, 3000])
def test_a_tone_is_drawn_at_its_frequency(front, tone):
    x = torch.sin(2 * torch.pi * tone * torch.arange(16000) / 16000)[None]
    classifier = model(front)
    hertz = spectrogram_frequencies(classifier)
    _, spec = spectrograms(classifier, x, 16000).values()
    row = spec[0, :, :50].mean(-1).argmax().item()
    assert len(hertz) == spec.shape[1] and (np.diff(hertz) >= 0).all()
    assert hertz[row - 1] < tone < hertz[row + 1]


@pytest.mark.parametrize("layer, unit, seconds", [(ASTFrontEnd(), "ln", 10.24), (BEATsFrontEnd(), "ln", 0.48)])
def test_spectrograms_of_pretrained_networks_have_their_own_logarithm_and_length(layer, unit, seconds, make_file):
    norm = SpecNorm.from_statistics(torch.full((1, 1, 1, 1), -4.0), torch.full((1, 1, 1, 1), 9.0))
    classifier, x = model([layer, norm]), 0.1 * torch.randn(1, 8000)
    before, after = spectrograms(classifier, x, 16000).items()
    assert before[0] == f"Before normalization ({unit})"
    torch.testing.assert_close(before[1], layer(x))
    torch.testing.assert_close(after[1], (layer(x) + 4) / 9)
    [drawn, _] = show_file(classifier, make_file(16000, 0.5)).spectrograms
    assert drawn.axes[0].get_xlim() == (0, pytest.approx(seconds))


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
    titles = [figure.axes[0].get_title() for figure in shown.spectrograms]
    assert titles == ["Before normalization (dB)", "After normalization"] and shown.timeline is None


def test_a_long_file_shows_the_mean_of_its_windows(make_file):
    classifier, file = model(), make_file(8000, 61.0)
    shown = show_file(classifier, file)
    every = [window.probabilities for window in predict(classifier, file)]
    assert len(shown.windows) == len(every) == 7
    np.testing.assert_allclose(list(shown.outputs.values()), np.mean(every, 0), rtol=1e-5)
    drawn = {step.get_label(): step.get_data() for step in shown.timeline.axes[0].patches}
    for k, name in enumerate("abc"):
        np.testing.assert_array_equal(drawn[name].values, [outputs[k] for outputs in every])
        np.testing.assert_array_equal(drawn[name].edges, [*range(0, 61, 10), 61])


@pytest.mark.parametrize("target", ["label", "numbers"])
def test_the_figure_of_windows_draws_the_most_probable_classes_or_the_first_numbers(target):
    names = "abcdefg"
    classifier = SoundClassifier(TO_DB, Range(), names, 16000, target=target)
    windows = [Prediction(i, i + 1, np.arange(7) / 21 + 0.1 * i) for i in range(2)]
    axes = plot_windows(classifier, windows).axes
    if target == "label":
        assert [step.get_label() for step in axes[0].patches] == list("gfedc") and len(axes) == 1
    else:
        assert [ax.get_ylabel() for ax in axes] == list(names[:MAX_DRAWN])
        assert [list(ax.patches[0].get_data().values) for ax in axes] == [[k / 21, k / 21 + 0.1] for k in range(5)]


def test_an_export_shows_no_spectrogram(make_file, tmp_path):
    from fastaudio_norm.serve import load_model

    classifier, file = model(), make_file()
    classifier.save_program(tmp_path / "model.pt2")
    shown, expected = (show_file(m, file) for m in (load_model(tmp_path / "model.pt2"), classifier))
    assert shown.spectrograms == [] and shown.decision == expected.decision


def test_files_that_are_too_long_are_refused(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(601 * 1000), 1000)
    with pytest.raises(BadAudio, match="expected at most 600 s, got 601 s"):
        show_file(model(), tmp_path / "long.wav")


def test_unusable_files_do_not_stop_the_others(make_file, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(601 * 1000), 1000)
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "short.wav", np.zeros(5), 16000)
    files = [tmp_path / f"{name}.wav" for name in ("long", "text", "empty", "short")] + [make_file(44100, 0.5, 2)]
    *bad, (file, prediction) = classify_files(model(), files)
    reasons = ["expected at most 600 s", "not readable as audio", "is empty", "5 samples from 0.00 s on are too few"]
    assert [f for f, _ in bad] == files[:4] and file == files[4]
    assert all(e.reason.startswith(reason) for (_, e), reason in zip(bad, reasons, strict=True))
    [(_, expected)] = predict_files(model(), [file])
    np.testing.assert_array_equal(prediction.probabilities, expected.probabilities)


def test_a_model_with_groups_needs_the_group(make_file):
    statistics = {name: (torch.full((1, 1, 1, 1), level), torch.ones(1, 1, 1, 1)) for name, level in GROUPS.items()}
    grouped = GroupedSpecNorm.from_statistics(statistics, (torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)))
    classifier, file = model([*TO_DB, grouped]), make_file()
    for group, level in {**GROUPS, "another": 0}.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if group == "another" else "error")
            [expected] = predict(classifier, file, group=group)
            shown, [(_, result)] = show_file(classifier, file, group), classify_files(classifier, [file], group)
        before, after = (figure.axes[0].images[0].get_array() for figure in shown.spectrograms)
        assert shown.outputs == dict(zip("abc", map(float, expected.probabilities)))
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)
        np.testing.assert_allclose(before - after, level, atol=1e-4)
    for missing in (None, ""):
        with pytest.raises(ValueError, match="choose the group, one of phone, watch"):
            show_file(classifier, file, missing)
        with pytest.raises(ValueError, match="choose the group, one of phone, watch"):
            list(classify_files(classifier, [file], missing))


def test_without_gradio_there_is_a_message(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit) as stopped:
        main(["app", str(tmp_path / "model.safetensors")])
    assert stopped.value.code == 2 and 'pip install "fastaudio-norm[app]"' in capsys.readouterr().err
