"""ESC-50's layout, its download, audio files of any folder, and random samples of files."""

import http.server
import shutil
import threading

import numpy as np
import pytest
import soundfile
from fastai.data.external import URLs

from fastaudio_norm.data.sources import download_esc50, find_audio, read_esc50, sample_files
from fastaudio_norm.measure import measure


def test_broken_layouts_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="ESC-50's layout"):
        read_esc50(tmp_path)
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    table = tmp_path / "meta" / "esc50.csv"
    for text, error, message in [
        ("filename,category\n", ValueError, "lacks the column fold"),
        ("filename,fold,category\n", ValueError, "empty"),
        ("filename,fold,category\na.wav,1,\n", ValueError, "rows without"),
        ("filename,fold,category\na.wav,1,dog\nb.wav,2,cat\n", FileNotFoundError, "2 of 2 clips.*a.wav"),
    ]:
        table.write_text(text)
        with pytest.raises(error, match=message):
            read_esc50(tmp_path)


@pytest.mark.parametrize(
    "rows, message",
    [
        (b"a.wav,1,dog,2", "is not a valid table"),
        (b"a.wav,1,\xab", "is not a valid table: 'utf-8' codec"),
        (b"a.wav,1.5,dog", "not a whole number"),
        (b"a.wav,one,dog", "not a whole number"),
        (b"a.wav,1" + b"0" * 30 + b",dog", "not a whole number"),
        (b"a.wav,1,dog\na.wav,2,dog", "lists a clip twice: a.wav"),
        (b"a.wav,1,dog\na.ogg,2,dog", "lists a clip twice: a.wav"),
        (b"..,1,dog", "without folders; got '..'"),
        (b"a.wav,1,do\x07g", "unprintable characters"),
        (b"../a.wav,1,dog", "without folders; got '../a.wav'"),
        (b"/etc/a.wav,1,dog", "without folders; got '/etc/a.wav'"),
        (b"a\0.wav,1,dog", "zero bytes"),
    ],
)
def test_invalid_tables_are_refused_by_name(rows, message, tmp_path):
    "All of these tables were found by bench/fuzz.py."
    for folder in ("audio", "meta"):
        (tmp_path / folder).mkdir()
    (tmp_path / "audio" / "a.wav").touch()
    (tmp_path / "meta" / "esc50.csv").write_bytes(b"filename,fold,category\nb.wav,1,cat\n" + rows)
    with pytest.raises(ValueError, match=f"esc50.csv.*{message}"):
        read_esc50(tmp_path, absent_ok=True)


def test_categories_that_look_like_numbers_stay_text(tmp_path):
    for folder in ("audio", "meta"):
        (tmp_path / folder).mkdir()
    (tmp_path / "audio" / "a.wav").touch()
    (tmp_path / "meta" / "esc50.csv").write_text("filename,fold,category\na,1,7\nb.wav,2,8\nc.wav,2,8\n")
    df = read_esc50(tmp_path, absent_ok=True)
    assert df.category.tolist() == ["7", "8", "8"] and df.filename.tolist() == ["a.wav", "b.wav", "c.wav"]


def test_esc50_is_downloaded_into_fastais_data_folder(tmp_path, made_up, monkeypatch):
    "A local server offers an archive like GitHub's, which has one folder above the data set."
    site = tmp_path / "site"
    shutil.copytree(made_up, site / "zip" / "ESC-50-master")
    shutil.make_archive(str(site / "ESC-50-master"), "zip", site / "zip")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=site, **kwargs)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(URLs, "ESC50", f"http://127.0.0.1:{server.server_port}/ESC-50-master.zip")
    try:
        path = download_esc50()
    finally:
        server.shutdown()
    assert tmp_path / "home" in path.parents
    assert len(read_esc50(path)) == 50
    assert download_esc50() == path  # without the server


def test_audio_is_found_in_subfolders_and_in_several_formats(made_up, tmp_path):
    deep = tmp_path / "a" / "b c"
    deep.mkdir(parents=True)
    (deep / "notes.txt").write_text("not audio")
    for i, file in enumerate(sorted((made_up / "audio").iterdir())[:3]):
        samples, sr = soundfile.read(file)
        stereo = np.stack([samples, samples], 1) if i == 0 else samples
        soundfile.write([tmp_path, deep][i % 2] / f"{i}.{['wav', 'flac', 'ogg'][i]}", stereo, sr)
    files = find_audio(tmp_path)
    assert [f.name for f in files] == ["0.wav", "2.ogg", "1.flac"]
    assert measure(tmp_path).about["clips"] == 3


def test_a_sample_is_reproducible_and_has_at_least_two_clips():
    files = list(range(100))
    assert sample_files(files, 0.1, 3) == sample_files(files, 0.1, 3) != sample_files(files, 0.1, 4)
    drawn = sample_files(files, 0.1)
    assert len(set(drawn)) == 10 and drawn == sorted(drawn)
    assert len(sample_files(files, 0.001)) == 2 and sample_files(files, 1) == files


@pytest.mark.parametrize("name", ["None", "NA", "null", "nan", "N/A", "NaN", "n/a"])
def test_names_that_look_like_missing_values_stay_text(name, tmp_path):
    for folder in ("audio", "meta"):
        (tmp_path / folder).mkdir()
    (tmp_path / "audio" / f"{name.replace('/', '')}.wav").touch()
    rows = f"{name.replace('/', '')}.wav,1,{name}\n"
    (tmp_path / "meta" / "esc50.csv").write_text("filename,fold,category\n" + rows)
    assert read_esc50(tmp_path).category.tolist() == [name]


def test_only_audio_replaces_a_missing_clip(tmp_path):
    for folder in ("audio", "meta"):
        (tmp_path / folder).mkdir()
    for file in ("a.flac", "b.txt", "b.png", "d"):
        (tmp_path / "audio" / file).touch()
    table = tmp_path / "meta" / "esc50.csv"
    table.write_text("filename,fold,category\na.ogg,1,x\nb.ogg,2,x\n")
    with pytest.raises(FileNotFoundError, match="1 of 2 clips.*such as b.ogg"):
        read_esc50(tmp_path)
    table.write_text("filename,fold,category\na.ogg,1,x\nd,2,x\n")
    assert read_esc50(tmp_path).filename.tolist() == ["a.flac", "d"]


def test_names_are_printed_without_control_characters(tmp_path):
    for folder in ("audio", "meta"):
        (tmp_path / folder).mkdir()
    rows = "b\x1b[2J.wav,1,x\na.wav,2,x\n"
    (tmp_path / "meta" / "esc50.csv").write_text("filename,fold,category\n" + rows)
    with pytest.raises(FileNotFoundError, match=r"2 of 2 clips.*such as b\\x1b\[2J.wav") as e:
        read_esc50(tmp_path)
    assert str(e.value).isprintable()
