"""`get_dls`: loaders of waveforms for one fold."""

import shutil

import pytest
import soundfile

from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import read_esc50


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg"])
def test_loaders_read_files_whose_extension_differs_from_the_table(tmp_path, made_up, extension):
    (tmp_path / "audio").mkdir()
    shutil.copytree(made_up / "meta", tmp_path / "meta")
    for file in (made_up / "audio").iterdir():
        samples, sr = soundfile.read(file)
        soundfile.write(tmp_path / "audio" / f"{file.stem}.{extension}", samples, sr)
    df = read_esc50(tmp_path)
    assert df.filename.str.endswith(f".{extension}").all() and len(df) == 50
    x, _ = get_dls(df, tmp_path, bs=5, num_workers=0).one_batch()
    assert x.shape == (5, 1, 8000) and x.sr == 16000


def test_a_class_of_the_validation_fold_alone_is_refused(made_up, df):
    df = df.assign(category=df.category.where((df.fold != 2) | (df.category != df.category[0]), "owl"))
    with pytest.raises(ValueError, match="Fold 2 has all clips of owl"):
        get_dls(df, made_up, fold=2, num_workers=0)
    assert get_dls(df, made_up, fold=1, num_workers=0).vocab is not None
