"""`make_clips`: a synthetic data set in ESC-50's layout."""

import numpy as np
import soundfile

from fastaudio_norm.data.synthetic import SYNTHETIC_SOUNDS, make_clips


def test_synthetic_clips_have_esc50s_layout(made_up, df):
    assert list(df.columns) == ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    assert df.groupby(["fold", "category"]).size().eq(1).all() and len(df) == 5 * len(SYNTHETIC_SOUNDS)
    assert df.groupby("target").category.nunique().eq(1).all()
    for name, fold, target, *_ in df.itertuples(index=False):
        info = soundfile.info(made_up / "audio" / name)
        assert (info.samplerate, info.channels, info.frames, info.subtype) == (44100, 1, 22050, "PCM_16")
        assert name.startswith(f"{fold}-") and name.endswith(f"-{target}.wav")


def test_the_same_seed_writes_the_same_synthetic_clips(tmp_path, made_up):
    again = make_clips(tmp_path / "again", per_fold=1, seconds=0.5)
    other = make_clips(tmp_path / "other", per_fold=1, seconds=0.5, seed=1)
    for file in sorted((made_up / "audio").iterdir()):
        assert (again / "audio" / file.name).read_bytes() == file.read_bytes()
        assert (other / "audio" / file.name).read_bytes() != file.read_bytes()
    assert (again / "meta" / "esc50.csv").read_bytes() == (made_up / "meta" / "esc50.csv").read_bytes()


def test_synthetic_clips_differ_in_level_and_never_clip(made_up, df):
    clips = [soundfile.read(made_up / "audio" / name)[0] for name in df.filename]
    peaks = np.array([np.abs(clip).max() for clip in clips])
    assert peaks.max() <= 1 and peaks.min() > 0.02 and peaks.max() / peaks.min() > 10
    assert min(clip.std() / peak for clip, peak in zip(clips, peaks)) > 0.01
    assert all(abs(clip.mean()) < 0.01 for clip in clips)
