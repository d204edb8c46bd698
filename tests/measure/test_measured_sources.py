"""`measure` on URLs, shards, data sets and loaders: the same file of statistics as from a folder, also after a kill."""

import re
import signal

import fsspec
import numpy as np
import pytest
import soundfile
import torch
import webdataset
from bad_audio import make_bad_audio
from fastaudio.core.signal import AudioTensor
from measure_support import digest_of_statistics, measure_and_die
from support import COMMAND, Program, start_ranks
from torch.utils.data import DataLoader, DistributedSampler

from fastaudio_norm.audio import read_clip
from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import clips_of, measure
from fastaudio_norm.measure.sources import IndexedClips
from fastaudio_norm.stats.recorder import StatsRecorder


def write_shards(files, folder, maxcount=8):
    "Write WebDataset shards; return their pattern."
    folder.mkdir(exist_ok=True)
    with webdataset.ShardWriter(f"{folder}/clips-%02d.tar", maxcount=maxcount, verbose=0) as shards:
        for file in files:
            shards.write({"__key__": file.stem.replace(".", " "), file.suffix[1:]: file.read_bytes(), "cls": 1})
    return f"{folder}/clips-{{00..{(len(files) - 1) // maxcount:02}}}.tar"


def upload(files, url):
    "Write files to fsspec's memory in place of those that it has there; return the URL."
    fs, path = fsspec.core.url_to_fs(url)
    for old in fs.find(path):
        fs.rm(old)
    for file in files:
        fs.pipe(f"{path}/{file.name}", file.read_bytes())
    return url


class Labelled(torch.utils.data.Dataset):
    "Waveforms and class numbers."

    def __init__(self, files, waveform):
        self.files, self.waveform = files, waveform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        return self.waveform(self.files[i]), i


def pairs(files):
    return [(torch.from_numpy(x.T), rate) for x, rate in (soundfile.read(f, always_2d=True) for f in files)]


def stack(batch):
    "As fastai collates: one `AudioTensor` and the labels."
    return AudioTensor(torch.stack([x for x, _ in batch]), sr=16000), torch.tensor([y for _, y in batch])


FORMS = {
    "URL": lambda files, tmp: upload(files, "memory://clips"),
    "pattern": lambda files, tmp: upload(files, "memory://clips") + "/*.wav",
    "file URL": lambda files, tmp: f"file://{files[0].parent}",
    "shards": lambda files, tmp: write_shards(files, tmp / "shards"),
    "paths": lambda files, tmp: [str(file) for file in files],
    "pairs": lambda files, tmp: pairs(files),
    "dicts": lambda files, tmp: [{"array": x.numpy(), "sampling_rate": rate} for x, rate in pairs(files)],
    "audio": lambda files, tmp: Labelled(files, lambda file: read_clip(file, 16000)),
    "loader": lambda files, tmp: DataLoader(Labelled(files, lambda f: read_clip(f, 16000)), 7, collate_fn=stack),
    "bytes": lambda files, tmp: iter([file.read_bytes() for file in files]),
    "samples of WebDataset": lambda files, tmp: webdataset.WebDataset(
        write_shards(files, tmp / "shards"), shardshuffle=False
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_source_gives_the_file_of_the_folder(form, clips, tmp_path):
    whole = digest_of_statistics(clips, tmp_path / "folder.json")
    source = FORMS[form](sorted(clips.iterdir()), tmp_path)
    assert digest_of_statistics(source, tmp_path / "source.json") == whole


@pytest.mark.parametrize("options", [{"wave": True, "rate": 8000}, {"spec": "ast"}])
def test_waveform_normalization_and_front_ends_work_with_sources(options, clips, tmp_path):
    whole = digest_of_statistics(clips, tmp_path / "folder.json", **options)
    source = write_shards(sorted(clips.iterdir()), tmp_path / "shards")
    assert digest_of_statistics(source, tmp_path / "source.json", **options) == whole


@pytest.mark.parametrize("form", ["URL", "shards", "pairs", "loader"])
def test_a_killed_measurement_of_a_source_ends_in_the_same_file(form, clips, tmp_path, monkeypatch, capsys):
    files, checkpoint = sorted(clips.iterdir()), tmp_path / "part.json"
    whole = digest_of_statistics(clips, tmp_path / "folder.json")
    for n in (1, 9, 5):
        measure_and_die(n, monkeypatch, FORMS[form](files, tmp_path), checkpoint)
    fetched, cat_file = [], fsspec.get_filesystem_class("memory").cat_file
    monkeypatch.setattr(
        "fsspec.implementations.memory.MemoryFileSystem.cat_file",
        lambda self, path: fetched.append(path) or cat_file(self, path),
    )
    source = FORMS[form](files, tmp_path)
    assert digest_of_statistics(source, tmp_path / "a", checkpoint=checkpoint, rate=16000) == whole
    assert re.search("Resuming after 15( of 30)? clips", capsys.readouterr().err)
    assert len(fetched) == (15 if form == "URL" else 0)  # files that were measured are not fetched again


@pytest.mark.parametrize("form", ["URL", "shards", "pairs"])
def test_a_changed_clip_starts_the_measurement_again(form, clips, tmp_path, monkeypatch, capsys):
    files, checkpoint = sorted(clips.iterdir()), tmp_path / "part.json"
    measure_and_die(5, monkeypatch, FORMS[form](files, tmp_path), checkpoint)
    samples, rate = soundfile.read(files[2])
    soundfile.write(files[2], samples[:-100], rate)
    whole = digest_of_statistics(clips, tmp_path / "folder.json")
    source = FORMS[form](files, tmp_path)
    assert digest_of_statistics(source, tmp_path / "a", checkpoint=checkpoint) == whole
    assert "Starting over" in capsys.readouterr().err


def test_a_sample_of_a_sequence_equals_that_of_a_folder(clips, tmp_path):
    files = sorted(clips.iterdir())
    whole = digest_of_statistics(clips, tmp_path / "folder.json", fraction=0.4, seed=3)
    for form in ("URL", "pairs"):
        source = FORMS[form](files, tmp_path)
        assert digest_of_statistics(source, tmp_path / "source.json", fraction=0.4, seed=3) == whole


# ---- unusable clips


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    make_bad_audio(folder)
    (folder / "garbage first.mp3").unlink()  # libsndfile recognizes it by its name, which memory lacks
    return sorted(file for file in folder.iterdir() if file.is_file())


@pytest.mark.parametrize("form", ["URL", "shards", "bytes"])
def test_unusable_clips_have_the_reasons_of_files(form, bad, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    files = [file for file in bad if file.suffix in (".wav", ".flac", ".ogg", ".mp3")]
    for i, file in enumerate(files):
        (folder / f"{i:03}{file.suffix}").write_bytes(file.read_bytes())
    files = sorted(folder.iterdir())
    of_files = measure(folder, rate=16000, on_error="skip").about
    of_source = measure(FORMS[form](files, tmp_path), rate=16000, on_error="skip").about
    assert of_source["clips"] == of_files["clips"] and len(of_files["skipped"]) > 5
    number = r"(\d+)\.\w+$" if form != "bytes" else r"item (\d+)$"
    assert {int(re.search(number, name)[1]): reason for name, reason in of_source["skipped"].items()} == {
        int(re.search(r"(\d+)\.\w+$", name)[1]): reason for name, reason in of_files["skipped"].items()
    }


def test_an_unusable_clip_stops_a_stream_and_the_clips_before_it_are_kept(clips, tmp_path, capsys):
    waveforms = [x for x, _ in pairs(sorted(clips.iterdir()))]
    bad = [*waveforms[:20], torch.full((1, 9000), np.nan), *waveforms[20:]]
    checkpoint = tmp_path / "part.json"
    with pytest.raises(ValueError, match=r"Unusable file:\n  item 2\[2\]: NaN or infinite sample at 0.00 s"):
        measure(DataLoader([x.flatten()[:8000] for x in bad], 9), rate=16000, checkpoint=checkpoint)
    source = DataLoader([x.flatten()[:8000] for x in waveforms], 9)
    resumed = digest_of_statistics(source, tmp_path / "a", checkpoint=checkpoint, rate=16000)
    assert "Resuming after 20 clips" in capsys.readouterr().err
    assert resumed == digest_of_statistics(source, tmp_path / "b", rate=16000)


def test_a_damaged_shard_is_skipped_from_the_damage_on(clips, tmp_path):
    pattern = write_shards(sorted(clips.iterdir()), tmp_path / "shards")
    second = tmp_path / "shards" / "clips-01.tar"
    second.write_bytes(second.read_bytes()[:60_000])
    with pytest.raises(ValueError, match="clips-01.tar: not readable as a tar archive: unexpected end of data"):
        measure(pattern)
    about = measure(pattern, on_error="skip").about
    assert [*about["skipped"]] == [str(second)] and 22 < about["clips"] < 30
    missing = tmp_path / "gone.tar"
    with pytest.raises(ValueError, match="All 1 files are unusable, such as .*gone.tar: No such file or directory"):
        measure(str(missing), on_error="skip")


# ---- the command, and several processes


def test_the_command_measures_shards_that_the_shell_expanded(clips, tmp_path, capsys):
    write_shards(sorted(clips.iterdir()), tmp_path / "shards")
    shards = sorted(map(str, (tmp_path / "shards").iterdir()))
    assert len(shards) == 4
    main(["stats", *shards, "--out", str(tmp_path / "out")])
    assert "clips-00.tar to " in capsys.readouterr().out
    measure(clips).save(tmp_path / "folder.json")
    assert (tmp_path / "out" / "stats.json").read_bytes() == (tmp_path / "folder.json").read_bytes()


DIES = """
import os, signal, sys
from fastaudio_norm.cli.main import main
from fastaudio_norm.measure import Measurement, checkpoint
add, seen = Measurement.add, []
def add_or_die(self, *clip):
    seen.append(clip)
    if len(seen) == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    add(self, *clip)
Measurement.add, checkpoint.SAVE_INTERVAL = add_or_die, 0
main(sys.argv[1:])
"""


def test_several_processes_measure_shards_and_resume_after_a_kill(clips, tmp_path):
    pattern = write_shards(sorted(clips.iterdir()), tmp_path / "shards")
    arguments = ["stats", pattern, "--timeout", "60", "--out", tmp_path / "out"]
    ranks = start_ranks(tmp_path, DIES, *arguments)
    for rank in ranks:
        rank.printed()
    assert -signal.SIGKILL in [rank.status for rank in ranks]
    ranks = start_ranks(tmp_path, COMMAND, *arguments)
    printed = [rank.printed() for rank in ranks]
    assert [rank.status for rank in ranks] == [0, 0], printed
    assert all("Resuming after" in err for _, err in printed)
    ours, whole = StatsRecorder.load(tmp_path / "out" / "stats.json"), measure(clips)
    assert ours.about == whole.about and torch.equal(ours.count, whole.count)
    assert ((ours.mean - whole.mean).abs() / whole.std).max() < 1e-12 and torch.equal(ours.median, whole.median)


STREAM = """
import sys, numpy as np
from fastaudio_norm.measure import measure, process_group
noise = np.random.default_rng(0).normal(0, 0.1, (7, 4000))
class Stream:
    def __iter__(self):
        return iter(noise)
with process_group() as rank:
    found = measure(Stream(), rate=16000)
    print(found.about["clips"], found.nobservations)
"""


def test_several_processes_share_a_stream(tmp_path):
    ranks = start_ranks(tmp_path, STREAM)
    several = {rank.printed()[0].splitlines()[-1] for rank in ranks}
    one = Program(tmp_path, STREAM)
    assert several == {one.printed()[0].strip()} and one.status == 0


# ---- refusals


def loader(**options):
    return DataLoader(torch.zeros(8, 1, 4000), batch_size=4, **options)


@pytest.mark.parametrize(
    "source, options, reason",
    [
        (loader(), {}, r"item 0\[0\]: the sample rate is unknown. Pass `rate`, or yield pairs"),
        (loader(), {"rate": 16000, "fraction": 0.5}, "`fraction` must be 1 for a stream, got 0.5"),
        (loader(), {"rate": 16000, "folds": [1], "group": "device"}, "Omit folds, group: only a folder has a table"),
        (loader(shuffle=True), {"rate": 16000, "checkpoint": "x"}, "could not resume: the loader shuffles the clips"),
        (iter([]), {"rate": 16000, "checkpoint": "x"}, "could not resume: a list_iterator can be read only once"),
        (loader(sampler=DistributedSampler(range(8), 2, 0)), {"rate": 16000}, "got one with DistributedSampler"),
        (loader(drop_last=True), {"rate": 16000}, "got one with drop_last=True, which leaves some out"),
        (iter([]), {"rate": 16000}, "The source contains no clips"),
        ([], {}, "The source contains no clips: got an empty list"),
        (loader(), {"rate": 16000, "on_error": "ignore"}, "`on_error` must be"),
        ({"train": [1]}, {}, "got a dict with train: pass one of its parts"),
        (7, {}, "Expected a folder, a URL, shards, a data set or an iterable, got int"),
        (torch.zeros(2, 3, 1, 4000), {"rate": 16000}, "item 0: expected one clip, got 3"),
        ([(torch.zeros(4000), 3)], {}, "item 0: the number beside a waveform must be its sample rate.* got 3"),
        ("memory://nothing", {}, "No audio files at memory://nothing"),
        ("unknown://x", {}, "unknown"),
        ("hf:x,part=y", {}, "Expected hf:NAME and any of config"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(source, options, reason):
    with pytest.raises((ValueError, FileNotFoundError), match=reason):
        measure(source, **options)


def test_options_of_tables_are_refused_for_sources(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["stats", "memory://clips", "--table", "x.csv", "--group", "device"])
    assert "--table, --group cannot be used here: only a folder has a table" in capsys.readouterr().err


def test_a_sequence_reads_only_the_clips_that_it_is_asked_for():
    read = []
    part = IndexedClips(lambda i: read.append(i), range(100)).sample(0.04, seed=0).share(1, 2)
    assert list(part) == [None, None] and read == part.numbers


def test_fetched_files_are_not_kept(clips):
    files = clips_of(upload(sorted(clips.iterdir()), "memory://clips"))
    assert all(clip.read() for clip in files) and not any(clip.content for clip in files)


class Failing(Labelled):
    "Raises an error for the third clip."

    def __getitem__(self, i):
        if i == 2:
            raise self.waveform
        return soundfile.read(self.files[i])


def test_an_item_that_cannot_be_read_is_an_unusable_clip(clips):
    files = sorted(clips.iterdir())
    data = Failing(files, soundfile.LibsndfileError(3, "Damaged: "))
    with pytest.raises(ValueError, match="1 of 30 files are unusable:\n  item 2: cannot be read: Damaged"):
        measure(data)
    about = measure(data, on_error="skip").about
    assert about["clips"] == 29 and [*about["skipped"]] == ["item 2"]
    with pytest.raises(IndexError, match="a bug"):  # not the end of the data
        measure(Failing(files, IndexError("a bug")))


def test_clips_of_a_padded_batch_have_their_own_lengths():
    batch = AudioTensor(torch.ones(2, 1, 4000), sr=16000)
    batch.lengths = (4000, 1500)
    sizes = [len(clip.read()) for clip in clips_of([batch][0:1].__iter__())]
    assert sizes[0] - sizes[1] == 4 * 2500
