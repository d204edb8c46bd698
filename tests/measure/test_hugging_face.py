"""`measure` on datasets of Hugging Face: the file of statistics of the folder, also streamed and after a kill."""

import re

import pytest
from measure_support import digest_of_statistics, measure_and_die
from support import COMMAND, start_ranks

from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import measure
from fastaudio_norm.stats.recorder import StatsRecorder

datasets = pytest.importorskip("datasets", reason='in the bench group: pip install "fastaudio-norm[datasets]"')


def rows(files):
    return [{"bytes": file.read_bytes(), "path": file.name} for file in files]


def make(audio, **features):
    "Dataset with a column of audio files, which would be decoded."
    made = datasets.Dataset.from_dict({"audio": audio, "label": [*range(len(audio))]})
    return made.cast_column("audio", datasets.Audio(**features))


FORMS = {
    "bytes": lambda files: make(rows(files)),
    "paths": lambda files: make([{"bytes": None, "path": str(file)} for file in files]),
    "streamed": lambda files: make(rows(files)).to_iterable_dataset(num_shards=3),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_dataset_gives_the_file_of_the_folder_also_after_a_kill(form, clips, tmp_path, monkeypatch, capsys):
    files, checkpoint = sorted(clips.iterdir()), tmp_path / "part.json"
    whole = digest_of_statistics(clips, tmp_path / "folder.json")
    for n in (1, 9, 5):
        measure_and_die(n, monkeypatch, FORMS[form](files), checkpoint)
    assert digest_of_statistics(FORMS[form](files), tmp_path / "a", checkpoint=checkpoint) == whole
    assert re.search("Resuming after 15( of 30)? clips", capsys.readouterr().err)


def test_a_rate_that_the_column_declares_is_used(clips):
    assert measure(make(rows(sorted(clips.iterdir())), sampling_rate=8000)).settings["sr"] == 8000


def test_a_dataset_can_be_sampled_and_a_stream_cannot(clips, tmp_path):
    files = sorted(clips.iterdir())
    whole = digest_of_statistics(clips, tmp_path / "folder.json", fraction=0.4)
    assert digest_of_statistics(FORMS["bytes"](files), tmp_path / "a", fraction=0.4) == whole
    with pytest.raises(ValueError, match="`fraction` must be 1 for a stream"):
        measure(FORMS["streamed"](files), fraction=0.4)


def test_rows_without_usable_audio_are_reported(clips):
    audio = [*rows(sorted(clips.iterdir())[:3]), None, {"bytes": b"Dear diary", "path": "a.wav"}]
    with pytest.raises(ValueError, match="Unusable file:|of 5 files are unusable:\n  row 3: the row has no audio"):
        measure(make(audio))
    skipped = measure(make(audio), on_error="skip").about["skipped"]
    assert skipped["row 3"] == "the row has no audio" and "not readable as audio" in skipped["row 4, a.wav"]


def test_other_columns_are_refused(clips):
    two = make(rows(sorted(clips.iterdir())[:3]))
    two = two.add_column("near", two.cast_column("audio", datasets.Audio(decode=False))["audio"])
    two = two.cast_column("near", datasets.Audio())
    with pytest.raises(ValueError, match="got 2 audio columns, 'audio', 'near': use select_columns"):
        measure(two)
    assert measure(two.select_columns(["near"])).about["clips"] == 3
    with pytest.raises(ValueError, match="got no audio column among 'label': mark one"):
        measure(two.select_columns(["label"]))
    with pytest.raises(ValueError, match="got IterableDataset with unknown columns: declare it"):
        measure(datasets.IterableDataset.from_generator(lambda: iter([{"audio": 1}])))
    with pytest.raises(ValueError, match="got a DatasetDict with train: pass one of its parts"):
        measure(datasets.DatasetDict(train=two))


def test_the_command_streams_a_dataset_also_in_two_processes(clips, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    make(rows(sorted(clips.iterdir()))).to_parquet(tmp_path / "data" / "train.parquet")
    main(["stats", f"hf:{tmp_path / 'data'},column=audio", "--out", str(tmp_path / "one")])
    one, folder = StatsRecorder.load(tmp_path / "one" / "stats.json"), measure(clips)
    assert one.about == folder.about and (one.mean == folder.mean).all()
    ranks = start_ranks(tmp_path, COMMAND, "stats", f"hf:{tmp_path / 'data'}", "--out", tmp_path / "two")
    printed = [rank.printed() for rank in ranks]
    assert [rank.status for rank in ranks] == [0, 0], printed
    two = StatsRecorder.load(tmp_path / "two" / "stats.json")
    assert two.about == folder.about and ((two.mean - folder.mean).abs() / folder.std).max() < 1e-12
