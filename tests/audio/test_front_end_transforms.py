"""Front ends as transforms: fixed sample rate and settings, alone, in batches, in loaders and in measurements."""

import pickle

import pytest
import torch
from fastai.torch_core import TensorImageBase
from fastaudio.core.signal import AudioTensor

from fastaudio_norm.audio import FrontEndToSpec, front_end_spec, make_spec, read_clip, spec_rate, spec_settings, to_spec
from fastaudio_norm.data import get_dls
from fastaudio_norm.layers import FRONT_ENDS, ASTFrontEnd
from fastaudio_norm.measure import measure
from fastaudio_norm.stats import StatsRecorder

NAMES = list(FRONT_ENDS)


def noise(rate, samples, batch=()):
    return AudioTensor(0.1 * torch.randn(*batch, 1, samples), sr=rate)


@pytest.mark.parametrize("name", NAMES)
def test_names_make_the_layer_of_the_network_at_its_rate_only(name):
    rate, layer = spec_rate(name), FRONT_ENDS[name]()
    clip = noise(rate, 9000)
    expected = layer(clip.as_subclass(torch.Tensor))
    for made in (pickle.loads(pickle.dumps(make_spec(name))), to_spec(name, rate), to_spec(front_end_spec(name), rate)):
        assert torch.equal(made(clip).as_subclass(torch.Tensor), expected)
    assert spec_settings(made(clip))["front_end"] == name
    for wrong in (
        lambda: made(noise(22050, 9000)),
        lambda: made((noise(22050, 9000), 1)),
        lambda: to_spec(name, 22050),
    ):
        with pytest.raises(ValueError, match=f"needs .*{rate:,} Hz.* got 22,050 Hz"):
            wrong()


def test_clips_of_a_padded_batch_have_the_frames_that_they_have_alone():
    for name in NAMES:
        made, batch = make_spec(name), noise(spec_rate(name), 20000, (3,))
        lengths = batch.lengths = (20000, 300, 9000)
        specs = made(batch)
        for spec, clip, length in zip(specs, batch, lengths):
            clip = clip.as_subclass(torch.Tensor)[..., : max(length, made.pipe.min_samples)]
            alone = made.pipe(clip)
            torch.testing.assert_close(spec[..., : alone.shape[-1]].as_subclass(torch.Tensor), alone)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "ast", "n_mels": 64}, "AST has 128 mel bands, got 64"),
        ({"name": "whisper", "n_mels": 64}, "80 mel bands, or 128"),
        ({"name": "clap", "n_fft": 512, "f_max": 8000.0}, "CLAP has fixed settings: omit n_fft, f_max"),
        ({"name": "passt", "rate": 16000}, "PaSST needs a sample rate of 32,000 Hz, got 16,000 Hz"),
        ({"name": "clap", "to_db": False}, "PCEN needs a spectrogram in power"),
    ],
)
def test_other_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_spec(**options)
    with pytest.raises(ValueError, match="PCEN needs a spectrogram in power"):
        to_spec(FrontEndToSpec(ASTFrontEnd(512)), to_db=False)


def test_loaders_and_measurements_use_them(df, made_up):
    dls = get_dls(df, made_up, bs=10, batch_tfms=[make_spec("ast")], num_workers=0)
    x, _ = dls.one_batch()
    assert isinstance(x, TensorImageBase) and x.shape[1:] == (1, 128, 1024)
    with pytest.raises(ValueError, match="PaSST needs clips at 32,000 Hz, got 16,000 Hz"):  # when loaders are made
        get_dls(df, made_up, bs=10, batch_tfms=[make_spec("passt")], num_workers=0)

    found = measure(made_up, folds=[1], spec=FrontEndToSpec(ASTFrontEnd(64)))
    expected, rows = StatsRecorder((0, 1, 3)), df[df.fold == 1]
    for file in rows.filename:
        clip = read_clip(made_up / "audio" / file, 16000).as_subclass(torch.Tensor)
        expected.update(ASTFrontEnd(64)(clip)[None])
    torch.testing.assert_close(found.reduced((0, 1, 3)).mean, expected.mean)
    assert found.settings["front_end"] == "ast" and found.settings["frames"] == 64
