"""Prediction of files: whole, in windows, from the command line, and with errors that name the file."""

import io
import json
import os
import sys

import numpy as np
import pytest
import soundfile
import torch

from fastaudio_norm.audio import BadAudio, open_audio
from fastaudio_norm.cli.main import main
from fastaudio_norm.serve.predict import predict, predict_files


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


@pytest.mark.parametrize("rest", [1, 300, 512])
def test_a_rest_that_is_too_short_for_the_network_belongs_to_a_window_that_begins_earlier(rest, classifier, tmp_path):
    file, rate = tmp_path / "long.wav", 16000
    samples = np.random.default_rng(0).normal(0, 0.1, 61 * rate - rate + rest)
    soundfile.write(file, samples, rate, subtype="FLOAT")
    *_, before, last = predict(classifier, file)
    seconds = len(samples) / rate
    assert (before.end, last.end) == (60, seconds) and last.start == pytest.approx(seconds - 10)
    expected = classifier(torch.from_numpy(samples[-10 * rate :]).float()[None, None])[0]
    np.testing.assert_allclose(last.probabilities, expected, atol=1e-6)


def test_errors_and_lack_of_memory_belong_to_the_file(classifier, make_file, tmp_path, monkeypatch):
    good, missing = make_file(name="good.wav"), tmp_path / "missing.wav"
    large = make_file(seconds=2.0, name="large.wav")
    forward = type(classifier).forward

    def forward_in_little_memory(self, x):
        if x.shape[-1] > 16000:
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
            )
        return forward(self, x)

    monkeypatch.setattr(type(classifier), "forward", forward_in_little_memory)
    found = [
        (file.name, result.reason if isinstance(result, BadAudio) else result.end)
        for file, result in predict_files(classifier, [good, missing, large, good])
    ]
    expected = [("good.wav", 1.0), ("missing.wav", "No such file or directory"), ("large.wav", "out of memory")]
    assert found == [*expected, ("good.wav", 1.0)]


# ---- the command


def predicted(capsys, *arguments):
    "Names of the files in the table that the command prints."
    capsys.readouterr()
    main(["predict", *map(str, arguments)])
    return [os.path.basename(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[1:]]


def test_folders_patterns_and_standard_input_name_files(classifier, make_file, tmp_path, capsys, monkeypatch):
    model, deep = tmp_path / "model.safetensors", tmp_path / "sounds" / "deep"
    classifier.save(model)
    deep.mkdir(parents=True)
    for name in ("sounds/b.wav", "sounds/deep/a.wav", "sounds/[c].wav", "d.wav"):
        make_file(name=name)
    (tmp_path / "sounds" / "notes.txt").touch()
    sounds = tmp_path / "sounds"
    assert predicted(capsys, model, sounds) == ["[c].wav", "b.wav", "a.wav"]
    assert predicted(capsys, model, sounds / "*.wav") == ["[c].wav", "b.wav"]
    assert predicted(capsys, model, sounds / "**" / "*.wav") == ["[c].wav", "b.wav", "a.wav"]
    assert predicted(capsys, model, sounds / "[c].wav") == ["[c].wav"]  # an existing file is not a pattern
    names = f"{sounds}/b.wav\n{tmp_path}/d.wav\n\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    assert predicted(capsys, model, "-", deep) == ["b.wav", "d.wav", "a.wav"]
    for arguments, message in ((["-"], "it was empty"), ([sounds / "*.mp3"], "No such file")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        with pytest.raises(SystemExit) as stopped:
            predicted(capsys, model, *arguments)
        assert stopped.value.code == 2 and message in capsys.readouterr().err


def test_damaged_samples_are_listed_or_stop_the_command_before_the_first_result(
    classifier, make_file, tmp_path, capsys
):
    model, bad = tmp_path / "model.safetensors", tmp_path / "bad.wav"
    classifier.save(model)
    soundfile.write(bad, np.append(np.zeros(16000), np.nan), 16000, subtype="FLOAT")
    files = [str(model), str(make_file(name="good.wav")), str(bad)]
    with pytest.raises(SystemExit):
        main(["predict", *files, "--on-error", "stop"])
    printed = capsys.readouterr()
    assert not printed.out and "1 of 2 files are unusable" in printed.err and "bad.wav: NaN" in printed.err
    with pytest.raises(SystemExit) as stopped:
        main(["predict", *files])
    printed = capsys.readouterr()
    assert stopped.value.code == 3 and "good.wav" in printed.out and "bad.wav: NaN" in printed.err


def test_the_command_ends_quietly_when_its_reader_does(classifier, make_file, tmp_path, monkeypatch, capsys):
    classifier.save(tmp_path / "model.safetensors")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed, pytest.raises(SystemExit) as stopped:
        monkeypatch.setattr(sys, "stdout", closed)
        main(["predict", str(tmp_path / "model.safetensors"), *[str(make_file())] * 3])
    assert stopped.value.code == 141 and not capsys.readouterr().err


def test_names_of_classes_are_printed_without_control_characters(classifier, make_file, tmp_path, capsys):
    classifier.classes = [f"\x1b[2J{name}" for name in classifier.classes]
    classifier.save(tmp_path / "model.safetensors")
    main(["predict", str(tmp_path / "model.safetensors"), str(make_file())])
    printed = capsys.readouterr().out
    assert r"\x1b[2J" in printed and printed.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt2", "model.onnx", "sound.wav"])
def test_a_file_that_may_not_be_read_is_not_called_missing(
    name, classifier, make_file, tmp_path, capsys, ordinary_user
):
    model, sound = tmp_path / "model.safetensors", make_file(name="sound.wav")
    classifier.save(model)
    locked = tmp_path / name
    locked.touch()
    locked.chmod(0)
    arguments = ["predict", str(model if name == "sound.wav" else locked), str(sound)]
    with ordinary_user(), pytest.raises(SystemExit):
        main(arguments)
    assert "Permission denied" in capsys.readouterr().err
    locked.unlink()
    with pytest.raises(SystemExit):
        main(arguments)
    assert "No such file" in capsys.readouterr().err


def test_messages_contain_no_control_characters(tmp_path, capsys):
    model = tmp_path / "x\x1b[2J.safetensors"
    model.write_text("no model")
    with pytest.raises(SystemExit):
        main(["predict", str(model), "a.wav"])
    message = capsys.readouterr().err.rstrip("\n")
    assert r"x\x1b[2J.safetensors is not a model file" in message and message.isprintable()
