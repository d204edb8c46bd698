"""`prepare_data`: what a comparison chooses by the data, what it says, and the folds that it writes."""

from functools import partial

import pandas as pd
import pytest
import soundfile

from fastaudio_norm.audio import cached_clips, make_spec
from fastaudio_norm.comparison.dataset import prepare_data
from fastaudio_norm.data import read_clips


@pytest.fixture
def folder(tmp_path, made_up):
    "Folder with ten clips at 8 kHz of two classes, without folds."
    for i, file in enumerate(read_clips(made_up).file[:10]):
        place = tmp_path / "ab"[i % 2] / f"{i}.wav"
        place.parent.mkdir(exist_ok=True)
        soundfile.write(place, soundfile.read(made_up / file)[0][:4000], 8000)
    return tmp_path


def test_what_is_not_given_follows_from_the_data(folder):
    data = prepare_data(folder)
    assert str(data) == "10 clips, 2 classes, 5 folds (made with seed 0), 8,000 Hz, accuracy" and not data.notes
    given = prepare_data(folder, n_folds=2, folds=[1], rate=16000, metric="macro F1", spec="linear")
    assert str(given) == "10 clips, 2 classes, 1 of 2 folds (made with seed 0), 16,000 Hz, macro F1"
    own = make_spec("mel", 11025)
    assert prepare_data(folder, spec=own).rate == 11025
    few = prepare_data(folder, spec=partial(make_spec, n_fft=128))
    assert few.notes == ["Mel bands: 43, because 64 of 128 samples at 8,000 Hz would leave empty filters"]


def test_clips_of_several_rates_and_whole_numbers_are_reported(folder):
    for i in (1, 3, 5, 7, 9, 8, 6):
        soundfile.write(folder / "ab"[i % 2] / f"{i}.wav", soundfile.read(folder / "ab"[i % 2] / f"{i}.wav")[0], 44100)
    table = read_clips(folder).assign(age=lambda df: df.index // 2)
    data = prepare_data(folder, read_clips(folder, table.drop(columns="label"), label="age"), n_folds=2)
    assert data.rate == 16000 and "only 8,000 Hz" in data.notes[0] and "--target numbers" in data.notes[1]


@pytest.mark.parametrize("label", ["a", ("a", "b"), 1.5, (1.5, 2.5)])
def test_new_folds_are_written_as_a_table_that_can_be_read(folder, label, tmp_path):
    table = read_clips(folder).assign(label=pd.Series([label] * 10), group=list("uuvvwwxxyy"))
    data = prepare_data(folder, table)
    data.write_folds(tmp_path / "folds.csv")
    several = isinstance(label, tuple) and isinstance(label[0], float)
    again = read_clips(folder, tmp_path / "folds.csv", label=data.target.names if several else None)
    columns = ["file", "label", "fold", "group"]
    assert again[columns].values.tolist() == data.df[columns].values.tolist()


def test_clips_that_became_unusable_are_checked_again(folder, capsys):
    data = prepare_data(folder)
    (folder / "a" / "twin.wav").write_bytes((folder / "a" / "0.wav").read_bytes())
    table = pd.concat(
        [data.df, pd.DataFrame({"file": ["a/twin.wav"], "label": ["a"], "fold": 1 + data.df.fold[0] % 5})]
    )
    data = data._replace(df=table.reset_index(drop=True)).with_clips(cached_clips(table, folder))
    assert "The same audio is in training and validation" in capsys.readouterr().err
    with pytest.raises(ValueError, match="No fold"):
        data.with_clips({file: None for file in data.df.file[data.df.fold != 3]})
