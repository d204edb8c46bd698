"""Prediction of files: whole, in windows, from the command line, and with errors that name the file."""

import json

import numpy as np
import pytest
import soundfile
import torch

from fastaudio_norm.audio import BadAudio, open_audio
from fastaudio_norm.cli.main import main
from fastaudio_norm.serve.predict import predict


def test_long_files_are_predicted_in_windows(classifier, make_file):
    file = make_file(8000, 61.0)
    parts = list(predict(classifier, file))
    assert [(part.start, part.end) for part in parts] == [(s, min(s + 10, 61)) for s in range(0, 61, 10)]
    samples, rate = soundfile.read(file, dtype="float32")
    second = classifier.at(rate)(torch.from_numpy(samples[80000:160000])[None, None])[0]
    np.testing.assert_allclose(parts[1].probabilities, second, atol=1e-5)
    assert len(list(predict(classifier, make_file(8000, 60.0)))) == 1
    assert len(list(predict(classifier, make_file(8000, 1.0), window=0.3))) == 4


def test_predict_command_prints_a_table_or_json(classifier, make_file, tmp_path, capsys):
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


def reason_to_refuse(file):
    "Why the file cannot be read; None if it can."
    try:
        with open_audio(file) as audio:
            audio.read()
    except BadAudio as e:
        return e.reason


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "empty"),
        (b"plain text" * 100, "audio"),
        (np.zeros((0, 1)), "no samples"),
        (np.full((16000, 1), np.nan), "NaN or infinite"),
        (np.ones((1, 1)), "1 samples from 0.00 s on are too few for the model"),
    ],
)
def test_predict_command_reports_unusable_files(content, message, classifier, tmp_path, capsys):
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
    assert (reason_to_refuse(file) or message) in err
