"""Statistics of pretrained networks, and of data in their convention."""

import warnings

import pytest
import torch
from fastai.torch_core import TensorImageBase
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.audio import FrontEndToSpec, make_spec, spec_settings
from fastaudio_norm.data import get_dls
from fastaudio_norm.layers import ASTFrontEnd
from fastaudio_norm.measure import measure
from fastaudio_norm.stats import GroupStats, StatsRecorder
from fastaudio_norm.transforms import (
    AudioNormalize,
    SpecNormalize,
    ast_stats,
    beats_stats,
    passt_stats,
    stats_of_data,
    whisper_stats,
)

ALL = [ast_stats, beats_stats, passt_stats, whisper_stats]


def plain(x):
    return x.as_subclass(torch.Tensor)


def made_by(spec, samples=9000):
    rate = spec.settings["sample_rate"]
    return spec(AudioTensor(0.1 * torch.randn(2, 1, samples), sr=rate))


@pytest.mark.parametrize("stats", ALL, ids=lambda stats: stats.front_end)
def test_constants_apply_to_spectrograms_of_their_front_end_only(stats):
    norm, x = SpecNormalize.from_stats(stats), made_by(make_spec(stats.front_end))
    torch.testing.assert_close(plain(norm(x)), (plain(x) - stats.mean) / stats.std)
    torch.testing.assert_close(plain(norm.decode(norm(x))), plain(x), rtol=1e-5, atol=1e-5)
    for other in {"mel", "ast", "beats"} - {stats.front_end}:
        with pytest.raises(
            ValueError, match=rf"instead of '{stats.front_end}'. Make it with make_spec\('{stats.front_end}"
        ):
            norm(made_by(make_spec(other)))


def test_constants_are_those_of_the_networks():
    assert ast_stats.std == pytest.approx(9.138, abs=1e-3) and beats_stats.std == pytest.approx(2 * 6.55582)
    assert (passt_stats.mean, passt_stats.std, whisper_stats.mean, whisper_stats.std) == (-4.5, 5, -4, 4)


def test_spectrograms_that_share_every_other_setting_are_refused():
    "A mel spectrogram with the sizes of AST's, and statistics of one on AST's spectrogram."
    settings = {k: v for k, v in ASTFrontEnd().settings.items() if k not in ("front_end", "frames", "log")}
    ours, theirs = made_by(make_spec("ast")), made_by(make_spec("ast"))
    theirs._settings = settings
    with pytest.raises(ValueError, match="front_end=None instead of 'ast'"):
        SpecNormalize.from_stats(ast_stats)(theirs)
    recorder = StatsRecorder((0, 2, 3))
    recorder.update(theirs, settings=settings)
    with pytest.raises(ValueError, match="front_end='ast' instead of None"):
        SpecNormalize.from_stats(recorder)(ours)
    with pytest.raises(ValueError, match="front_end='ast' instead of None"):
        recorder.update(ours, settings=spec_settings(ours))


def test_unknown_settings_warn_once():
    norm, x = SpecNormalize.from_stats(ast_stats), TensorImageBase(torch.randn(2, 1, 128, 30))
    with pytest.warns(UserWarning, match=r"statistics of AST's spectrogram.* Make it with make_spec\('ast'\)"):
        out = norm(x)
    torch.testing.assert_close(plain(out), (plain(x) - ast_stats.mean) / ast_stats.std)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        norm(x)
        SpecNormalize(0.0, 1.0)(x)


def test_loaders_refuse_the_wrong_spectrogram_when_they_are_made(df, made_up):
    tfms = [make_spec("mel"), SpecNormalize.from_stats(ast_stats)]
    with pytest.raises(ValueError, match=r"Make it with make_spec\('ast'\)"):
        get_dls(df, made_up, bs=2, batch_tfms=tfms, num_workers=0)


def test_options_that_contradict_the_constants_are_refused():
    with pytest.raises(ValueError, match="uses statistics of each clip"):
        SpecNormalize.from_stats(ast_stats, axes=(2, 3))
    for method in ("minmax", "robust"):
        with pytest.raises(ValueError, match=f"are a mean and a divisor, .*got '{method}'"):
            SpecNormalize.from_stats(ast_stats, method=method)
    assert float(SpecNormalize.from_stats(ast_stats, method="zscore").mean) == pytest.approx(ast_stats.mean)


@pytest.mark.parametrize("constants", [ast_stats, beats_stats, passt_stats], ids=lambda stats: stats.front_end)
def test_stats_of_data_give_the_spread_that_the_network_was_trained_on(constants, tmp_path):
    x, grouped = made_by(make_spec(constants.front_end)), GroupStats(StatsRecorder((0, 3)))
    grouped.update(x, settings=spec_settings(x), groups=("a", "b"))
    recorder = grouped.pooled
    recorder.save(tmp_path / "stats.json")
    for stats in (recorder, grouped, tmp_path / "stats.json", str(tmp_path / "stats.json")):
        own = stats_of_data(constants, stats)
        out = plain(SpecNormalize.from_stats(own)(x)).double()
        assert abs(out.mean()) < 1e-5 and out.std() == pytest.approx(1 / constants.deviations, rel=1e-5)


def test_stats_of_data_refuse_other_spectrograms():
    mel, ast = StatsRecorder((0, 3)), StatsRecorder((0, 3))
    mel.update(torch.randn(1, 1, 128, 30))
    ast.update(x := made_by(FrontEndToSpec(ASTFrontEnd(64))), settings=spec_settings(x))
    with pytest.raises(
        ValueError, match=r"AST needs statistics of make_spec\('ast'\), got those of another spectrogram"
    ):
        stats_of_data(ast_stats, mel)
    with pytest.raises(ValueError, match=r"BEATs needs statistics .*, got those of make_spec\('ast'\)"):
        stats_of_data(beats_stats, ast)
    with pytest.raises(ValueError, match="Whisper do not depend on the data"):
        stats_of_data(whisper_stats, ast)


def test_stats_of_data_apply_to_spectrograms_and_waveforms_like_the_measured_ones(df, made_up):
    "Zeros that fill short clips count in AST's statistics, so the number of frames matters."
    recorder = measure(made_up, folds=[1], spec="ast", wave=True)
    own = stats_of_data(ast_stats, recorder)
    with pytest.raises(ValueError, match="frames=64 instead of 1024. Make it with the settings of the meas"):
        SpecNormalize.from_stats(own)(made_by(FrontEndToSpec(ASTFrontEnd(64))))
    SpecNormalize.from_stats(ast_stats)(made_by(FrontEndToSpec(ASTFrontEnd(64))))
    tfms = [make_spec("ast"), SpecNormalize.from_stats(own)]
    with pytest.raises(ValueError, match=r"waveforms that AudioNormalize\(\) had normalized"):
        get_dls(df, made_up, bs=2, batch_tfms=tfms, num_workers=0)
    x, _ = get_dls(df, made_up, bs=2, item_tfms=[AudioNormalize], batch_tfms=tfms, num_workers=0).one_batch()
    assert x.shape[1:] == (1, 128, 1024)
