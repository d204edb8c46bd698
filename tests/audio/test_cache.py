"""The cache of clips: contents, reuse, eviction, damage."""

import multiprocessing
import os
import pickle
import shutil
import tempfile

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from fastaudio.core.config import PreprocessAudio
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.audio import cache as cache_module
from fastaudio_norm.audio.cache import CachedClips, cache_folder, cached_clips
from fastaudio_norm.data import get_dls

SR = 16000


@pytest.fixture
def folder(tmp_path):
    "Folder of three clips: 0.5 s in stereo, 1 s, and 1.9 s at another sample rate."
    (tmp_path / "audio").mkdir()
    rng = np.random.default_rng(0)
    for name, samples, sr in [
        ("a.wav", rng.uniform(-1, 1, (8000, 2)) * 1e-4, SR),
        ("b.wav", rng.uniform(-1, 1, 16000), SR),
        ("c.wav", rng.uniform(-9, 9, 42000), 22050),
    ]:
        soundfile.write(tmp_path / "audio" / name, samples, sr, subtype="FLOAT")
    return tmp_path


@pytest.fixture
def table():
    return pd.DataFrame({"filename": ["a.wav", "b.wav", "c.wav"], "fold": [1, 2, 2], "category": list("xyx")})


def test_cached_clips_equal_the_files_cut_or_padded_to_one_length(folder, table):
    clips = cached_clips(table, folder)
    assert list(clips) == table.filename.tolist() and len(clips) == 3
    prepare = PreprocessAudio(sample_rate=SR)
    for name, clip in clips.items():
        expected = prepare(folder / "audio" / name)[:, :SR]
        assert type(clip) is AudioTensor and clip.sr == SR and clip.shape == (1, SR) and clip.dtype == torch.float32
        n = expected.shape[1]
        assert (clip[:, :n] - expected).abs().max() <= expected.abs().max() / 65000 and not clip[:, n:].any()
    assert {c.nsamples for c in cached_clips(table, folder, sample_rate=8000, seconds=0.25).values()} == {2000}
    clips["b.wav"].zero_()
    assert clips["b.wav"].any()


def test_cache_is_reused_until_a_clip_or_setting_changes(folder, table, monkeypatch):
    made, cache = [], folder / "cache"
    write = cache_module._write_samples
    monkeypatch.setattr(cache_module, "_write_samples", lambda *args: made.append(args) or write(*args))
    first = cached_clips(table, folder, folder=cache)
    os.utime(folder / "audio" / "a.wav")
    assert cached_clips(table, folder, folder=cache).path == first.path and len(made) == 1
    shutil.copytree(folder / "audio", folder / "elsewhere" / "audio")
    assert cached_clips(table, folder / "elsewhere", folder=cache).path == first.path and len(made) == 1
    soundfile.write(folder / "audio" / "a.wav", np.zeros(8000), SR)
    assert not cached_clips(table, folder, folder=cache)["a.wav"].any() and len(made) == 2
    for setting in ({"sample_rate": 8000}, {"seconds": 0.1}):
        cached_clips(table, folder, folder=cache, **setting)
    cached_clips(table[:2], folder, folder=cache)
    assert len(made) == 5


def test_least_recently_used_caches_are_removed_to_make_room(folder, table):
    cache = folder / "cache"
    paths = []
    for i, seconds in enumerate((0.5, 0.6, 0.7)):
        paths.append(cached_clips(table, folder, seconds=seconds, folder=cache).path)
        os.utime(paths[-1], (i, i))
    cached_clips(table, folder, seconds=0.5, folder=cache)  # used again
    room = sum(path.stat().st_size for path in paths) + 100
    new = cached_clips(table, folder, seconds=0.4, folder=cache, max_bytes=room).path
    assert [path.exists() for path in (*paths, new)] == [True, False, True, True]
    with pytest.raises(ValueError, match="3 clips of 0.5 s.*shorten clips"):
        cached_clips(table, folder, seconds=0.5, folder=cache, max_bytes=10)


@pytest.mark.parametrize("content", [b"no sound", b""])
def test_unusable_file_is_named_and_no_cache_is_left(content, folder, table):
    (folder / "audio" / "b.wav").write_bytes(content)
    for seconds in (None, 1):
        with pytest.raises(ValueError, match="b.wav"):
            cached_clips(table, folder, seconds=seconds, folder=folder / "cache")
    samples = np.ones(100, np.float32)
    samples[5] = np.nan
    soundfile.write(folder / "audio" / "b.wav", samples, SR, subtype="FLOAT")
    with pytest.raises(ValueError, match="b.wav: NaN or infinite sample at 0.00 s"):
        cached_clips(table, folder, folder=folder / "cache")
    assert not list((folder / "cache").glob("*clips-*"))


def test_partial_files_of_killed_processes_are_removed(folder, table):
    cache = folder / "cache"
    cache.mkdir()
    (cache / ".clips-1.npy.123.part").write_bytes(b"half")
    path = cached_clips(table, folder, folder=cache).path
    assert sorted(file.name for file in cache.iterdir()) == [path.with_suffix(".json").name, path.name, "clips.lock"]


def test_damaged_caches_are_refused(folder, table):
    path = cached_clips(table, folder, folder=folder / "cache").path
    samples = np.load(path)
    assert samples.shape == (3, SR) and samples.dtype == np.int16
    whole = path.read_bytes()
    for content in (
        whole[:-10],
        whole[:20],
        b"",
        whole + b"more",
        b"\xff" * 8 + whole[8:],
        pickle.dumps({"samples": 1}),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a cache of clips"):
            CachedClips(path)
    for other in (samples[:2], samples[:, :5], samples[0], samples.astype(np.int32), np.array([{}])):
        np.save(path, other, allow_pickle=True)
        with pytest.raises(ValueError, match="not a cache of clips"):
            CachedClips(path)
    path.write_bytes(whole)
    assert len(CachedClips(path)) == 3
    index = path.with_suffix(".json")
    text = index.read_text()
    for content in (text[:-10], "", "[]", text.replace("a.wav", "d.wav")):
        index.write_text(content)
        with pytest.raises(ValueError, match=index.name):
            CachedClips(path)


def test_unusable_samples_are_skipped_without_reading_all_files_again(folder, table):
    soundfile.write(folder / "audio" / "b.wav", np.full(100, np.nan), SR, subtype="FLOAT")
    for _ in range(2):  # made, and read again
        clips = cached_clips(table, folder, folder=folder / "cache", on_error="skip")
        assert list(clips) == ["a.wav", "c.wav"] and all(clip.any() for clip in clips.values())
        assert clips.skipped == {"b.wav": "NaN or infinite sample at 0.00 s"}
    with pytest.raises(ValueError, match="1 of 3 files are unusable:\n  b.wav: NaN"):
        cached_clips(table, folder, folder=folder / "cache")


def _make(folder, table, cache, paths):
    paths.put(cached_clips(table, folder, folder=cache).path)


def test_two_processes_make_one_cache(folder, table):
    context = multiprocessing.get_context("fork")
    paths = context.Queue()
    processes = [context.Process(target=_make, args=(folder, table, folder / "cache", paths)) for _ in range(2)]
    for process in processes:
        process.start()
    found = {paths.get(timeout=60) for _ in processes}
    for process in processes:
        process.join()
    assert len(found) == 1 and len(CachedClips(found.pop())) == 3


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loaders_read_clips_from_the_cache(made_up, df, num_workers):
    clips = cached_clips(df, made_up)

    def silence(x: AudioTensor):
        return x.zero_()

    for _ in range(2):
        x, _ = get_dls(df, made_up, bs=10, clips=clips, num_workers=num_workers).valid.one_batch()
        expected, _ = get_dls(df, made_up, bs=10, num_workers=0).valid.one_batch()
        assert torch.allclose(x, expected, atol=1e-4)
        get_dls(df, made_up, bs=10, item_tfms=[silence], clips=clips, num_workers=0).one_batch()
    again = pickle.loads(pickle.dumps(clips))
    name = df.filename[0]
    assert torch.equal(again[name], clips[name]) and len(pickle.dumps(clips)) < 1000


@pytest.mark.parametrize("damage", [lambda row: row * 0, lambda row: np.roll(row, 1), lambda row: -row])
def test_changed_samples_are_found_at_the_first_access(damage, folder, table):
    path = cached_clips(table, folder, folder=folder / "cache").path
    samples = np.load(path)
    samples[1] = damage(samples[1])
    np.save(path, samples)
    clips = cached_clips(table, folder, folder=folder / "cache")
    assert clips["a.wav"].any() and clips["c.wav"].any()
    for _ in range(2):
        with pytest.raises(ValueError, match="is damaged: the samples of b.wav are not.*Delete this file"):
            clips["b.wav"]
    path.unlink()
    assert cached_clips(table, folder, folder=folder / "cache")["b.wav"].any()


def test_an_unusable_index_is_made_again(folder, table):
    path = cached_clips(table, folder, folder=folder / "cache").path
    index = path.with_suffix(".json")
    for content in ("", index.read_text().replace('"version": 4', '"version": 3')):
        index.write_text(content)
        assert len(cached_clips(table, folder, folder=folder / "cache")) == 3


def test_users_share_a_cache(folder, table, ordinary_user):
    cache = folder / "cache"
    cached_clips(table, folder, folder=cache)
    for file in cache.iterdir():
        assert file.stat().st_mode & 0o044 == 0o044
    assert (cache / "clips.lock").stat().st_mode & 0o666 == 0o666
    for file in (cache, *cache.iterdir()):
        file.chmod(0o555 if file.is_dir() else 0o444)  # another user's files
    try:
        with ordinary_user():
            assert len(cached_clips(table, folder, folder=cache)) == 3
            with pytest.raises(OSError, match="not writable|Permission denied"):
                cached_clips(table, folder, folder=cache, seconds=0.2)
    finally:
        cache.chmod(0o755)


def test_a_user_without_a_home_gets_a_private_folder(folder, table, tmp_path, monkeypatch):
    for name in ("FASTAUDIO_NORM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = cached_clips(table, folder).path
    assert path.parent == cache_folder() == tmp_path / f"fastaudio-norm-{os.getuid()}"
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.unlink()
    path.parent.chmod(0o777)
    with pytest.raises(OSError, match="others may write to it: set FASTAUDIO_NORM_CACHE"):
        cached_clips(table, folder)


def test_a_file_that_disappears_after_the_check_is_skipped_or_reported(folder, table, monkeypatch):
    check = cache_module.check_files

    def check_and_remove(files, on_error):
        checked = check(files, on_error)
        (folder / "audio" / "b.wav").unlink(missing_ok=True)
        return checked

    monkeypatch.setattr(cache_module, "check_files", check_and_remove)
    content = (folder / "audio" / "b.wav").read_bytes()
    with pytest.raises(ValueError, match="1 of 3 files are unusable:\n  .*b.wav: .*No such file"):
        cached_clips(table, folder, folder=folder / "cache")
    (folder / "audio" / "b.wav").write_bytes(content)
    clips = cached_clips(table, folder, folder=folder / "cache", on_error="skip")
    assert list(clips) == ["a.wav", "c.wav"] and "No such file" in clips.skipped["b.wav"]
