"""ESC-50's layout, its folds, and the made-up clips."""

import http.server
import shutil
import threading

import numpy as np
import pandas as pd
import pytest
import soundfile
from fastai.data.external import URLs

from fastaudio_norm.data.folds import CrossValidationSplitter
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import download_esc50, read_esc50
from fastaudio_norm.data.synthetic import SYNTHETIC_SOUNDS, make_clips


def test_every_fold_validates_each_item_once(df):
    valid = []
    for fold in range(1, 6):
        train, of_fold = CrossValidationSplitter(fold=fold)(df)
        assert sorted(train + of_fold) == list(range(len(df)))
        assert set(df.fold.iloc[of_fold]) == {fold} and fold not in set(df.fold.iloc[train])
        valid += of_fold
    assert sorted(valid) == list(range(len(df)))


@pytest.mark.parametrize(
    "splitter, items, error, message",
    [
        (CrossValidationSplitter(), ["a"], TypeError, "not a list"),
        (CrossValidationSplitter(col="part"), pd.DataFrame({"fold": [1]}), KeyError, r"'part'.*\['fold'\]"),
        (CrossValidationSplitter(fold=3), pd.DataFrame({"fold": [1, 2]}), ValueError, r"no validation items.*\[1, 2\]"),
        (CrossValidationSplitter(fold=1), pd.DataFrame({"fold": [1, 1]}), ValueError, "no training items"),
    ],
)
def test_splitter_says_what_is_wrong(splitter, items, error, message):
    with pytest.raises(error, match=message):
        splitter(items)


def test_made_up_clips_have_esc50s_layout(made_up, df):
    assert list(df.columns) == ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    assert df.groupby(["fold", "category"]).size().eq(1).all() and len(df) == 5 * len(SYNTHETIC_SOUNDS)
    assert df.groupby("target").category.nunique().eq(1).all()
    for name, fold, target, *_ in df.itertuples(index=False):
        info = soundfile.info(made_up / "audio" / name)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (44100, 1, 22050, "PCM_16")
        assert name.startswith(f"{fold}-") and name.endswith(f"-{target}.wav")


def test_made_up_clips_are_the_same_for_the_same_seed(tmp_path, made_up):
    again = make_clips(tmp_path / "again", per_fold=1, seconds=0.5)
    other = make_clips(tmp_path / "other", per_fold=1, seconds=0.5, seed=1)
    for file in sorted((made_up / "audio").iterdir()):
        assert (again / "audio" / file.name).read_bytes() == file.read_bytes()
        assert (other / "audio" / file.name).read_bytes() != file.read_bytes()
    assert (again / "meta" / "esc50.csv").read_bytes() == (made_up / "meta" / "esc50.csv").read_bytes()


def test_made_up_clips_differ_in_level_and_never_clip(made_up, df):
    clips = [soundfile.read(made_up / "audio" / name)[0] for name in df.filename]
    peaks = np.array([np.abs(clip).max() for clip in clips])
    assert peaks.max() <= 1 and peaks.min() > 0.02 and peaks.max() / peaks.min() > 10
    assert min(clip.std() / peak for clip, peak in zip(clips, peaks)) > 0.01 and all(
        abs(clip.mean()) < 0.01 for clip in clips
    )


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_reads_other_endings_than_the_table_says(tmp_path, made_up, ending):
    (tmp_path / "audio").mkdir()
    shutil.copytree(made_up / "meta", tmp_path / "meta")
    for file in (made_up / "audio").iterdir():
        samples, sr = soundfile.read(file)
        soundfile.write(tmp_path / "audio" / f"{file.stem}.{ending}", samples, sr)
    df = read_esc50(tmp_path)
    assert df.filename.str.endswith(f".{ending}").all() and len(df) == 50
    x, _ = get_dls(df, tmp_path, bs=5, num_workers=0).one_batch()
    assert x.shape == (5, 1, 8000) and x.sr == 16000


def test_broken_layouts_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="ESC-50's layout"):
        read_esc50(tmp_path)
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    table = tmp_path / "meta" / "esc50.csv"
    for text, error, message in [
        ("filename,category\n", ValueError, "no column fold"),
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
        (b"a.wav,1,dog,2", "is no table"),
        (b"a.wav,1,\xab", "is no table: 'utf-8' codec"),
        (b"a.wav,1.5,dog", "whole number"),
        (b"a.wav,one,dog", "whole number"),
        (b"a.wav,1" + b"0" * 30 + b",dog", "whole number"),
        (b"a.wav,1,dog\na.wav,2,dog", "twice: a.wav"),
        (b"a.wav,1,dog\na.ogg,2,dog", "twice: a.wav"),
        (b"..,1,dog", "no name of a file"),
        (b"a.wav,1,do\x07g", "cannot be printed"),
        (b"../a.wav,1,dog", "no name of a file"),
        (b"/etc/a.wav,1,dog", "no name of a file"),
        (b"a\0.wav,1,dog", "zero bytes"),
    ],
)
def test_tables_that_are_none(rows, message, tmp_path):  # bench/fuzz.py has found them
    for folder in ("audio", "meta"):
        (tmp_path / folder).mkdir()
    (tmp_path / "audio" / "a.wav").touch()
    (tmp_path / "meta" / "esc50.csv").write_bytes(b"filename,fold,category\nb.wav,1,cat\n" + rows)
    with pytest.raises(ValueError, match=f"esc50.csv.*{message}"):
        read_esc50(tmp_path, absent_ok=True)
    (tmp_path / "meta" / "esc50.csv").write_text("filename,fold,category\na,1,7\nb.wav,2,8\nc.wav,2,8\n")
    df = read_esc50(tmp_path, absent_ok=True)
    assert df.category.tolist() == ["7", "8", "8"] and df.filename.tolist() == ["a.wav", "b.wav", "c.wav"]


def test_esc50_is_downloaded_into_fastais_data_folder(tmp_path, made_up, monkeypatch):
    "From an archive of GitHub's layout, one folder above the data set's own, served locally."
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
