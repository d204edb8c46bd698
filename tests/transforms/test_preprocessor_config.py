"""The configuration of AST's extractor: edited in place or created, and refused if it does not fit the statistics."""

import json
import os

import pytest
import torch
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.audio import FrontEndToSpec, make_spec, spec_settings
from fastaudio_norm.layers import ASTFrontEnd
from fastaudio_norm.stats import GroupStats, StatsRecorder
from fastaudio_norm.transforms import write_preprocessor_config


def recorded_by(spec):
    x, stats = spec(AudioTensor(0.1 * torch.randn(2, 1, 9000), sr=16000)), GroupStats(StatsRecorder((0, 3)))
    stats.update(x, settings=spec_settings(x), groups=("a", "b"))
    return stats, x.as_subclass(torch.Tensor).double()


@pytest.fixture(scope="module")
def ast():
    return recorded_by(make_spec("ast"))


def test_mean_and_std_are_written_and_everything_else_is_kept(ast, tmp_path):
    stats, x = ast
    stats.pooled.save(tmp_path / "stats.json")
    file = tmp_path / "preprocessor_config.json"
    before = {"std": 4.5689974, "added": {"by": "Zoë"}, "max_length": 1024, "mean": -4.2677393}
    for given in (stats, stats.pooled, tmp_path / "stats.json"):
        file.write_text(json.dumps(before))
        os.chmod(file, 0o640)
        write_preprocessor_config(file, given)
        after = json.loads(file.read_text())
        assert list(after) == list(before) and after["added"] == before["added"]
        assert after["mean"] == pytest.approx(x.mean().item()) and after["std"] == pytest.approx(x.std().item())
        assert file.stat().st_mode & 0o777 == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {file.name, "stats.json"}


def test_a_new_file_has_what_the_extractor_needs(tmp_path):
    stats, x = recorded_by(FrontEndToSpec(ASTFrontEnd(64)))
    write_preprocessor_config(tmp_path / "new.json", stats)
    content = json.loads((tmp_path / "new.json").read_text())
    assert content["feature_extractor_type"] == "ASTFeatureExtractor" and content["do_normalize"] is True
    assert (content["max_length"], content["num_mel_bins"], content["sampling_rate"]) == (64, 128, 16000)
    assert content["std"] == pytest.approx(x.std().item())
    with pytest.raises(ValueError, match="`max_length` must be 64, got 1024"):  # the extractor's default
        (tmp_path / "other.json").write_text("{}")
        write_preprocessor_config(tmp_path / "other.json", stats)


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"max_length": 512}', "`max_length` must be 1024, got 512"),
        ('{"num_mel_bins": 64}', "`num_mel_bins` must be 128, got 64"),
        ('{"sampling_rate": 48000}', "`sampling_rate` must be 16000"),
        ('{"do_normalize": false}', "`do_normalize` must be True, got False"),
        ('{"do_normalize": 1}', "`do_normalize` must be True, got 1"),
        ('{"feature_extractor_type": "WhisperFeatureExtractor"}', "must be 'ASTFeatureExtractor', got 'Whisper"),
        ("[1]", "must contain a JSON object, got list"),
        ('{"mean": ', "is not valid JSON"),
        ("", "is not valid JSON"),
        ("\udcff", "is not valid JSON"),
    ],
)
def test_files_that_do_not_fit_stay_unchanged(content, message, ast, tmp_path):
    file = tmp_path / "preprocessor_config.json"
    file.write_bytes(before := content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message):
        write_preprocessor_config(file, ast[0])
    assert file.read_bytes() == before


def test_statistics_of_other_spectrograms_and_folders_are_refused(ast, tmp_path):
    stats, _ = recorded_by(make_spec("beats"))
    with pytest.raises(
        ValueError, match=r"AST needs statistics of make_spec\('ast'\), got those of make_spec\('beats'\)"
    ):
        write_preprocessor_config(tmp_path / "new.json", stats)
    with pytest.raises(ValueError, match="is a folder: name the file"):
        write_preprocessor_config(tmp_path, ast[0])
    with pytest.raises(OSError, match="No such file"):
        write_preprocessor_config(tmp_path / "missing" / "new.json", ast[0])
    assert not list(tmp_path.iterdir())
