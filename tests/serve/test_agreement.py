"""A converted learner computes what the learner does, for all transforms, targets and networks; or it is refused."""

import json
import random
from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
import soundfile
from fastai.data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock
from fastai.learner import Learner
from fastai.vision.learner import vision_learner
from fastaudio.augment.preprocess import RemoveSilence, Resample
from fastaudio.augment.signal import AudioPadType, DownmixMono, ResizeSignal
from fastaudio.augment.spectrogram import DeltaGPU
from fastaudio.core.config import AudioBlock
from fastaudio.core.signal import AudioTensor
from support import SMALL_ARCH
from torch import nn
from torchvision.models import resnet18

from fastaudio_norm.audio import SPECS, ActiveCrop
from fastaudio_norm.cli.main import main
from fastaudio_norm.serve import SoundClassifier, as_pipeline, load_model, predict
from fastaudio_norm.train import spec_learner
from fastaudio_norm.transforms import (
    AudioNormalize,
    RelaxedFreqNormalize,
    ShortTimeNormalize,
    SlidingNormalize,
    SpecNormalize,
)

TARGETS = {
    "label": (CategoryBlock, lambda file: file.stem[0]),
    "labels": (MultiCategoryBlock, lambda file: ["ab"[int(file.stem[-1]) % 2], "c"]),
    "numbers": (RegressionBlock(n_out=2), lambda file: [float(file.stem[-1]), 1.0]),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "Function that returns eight noises whose channels differ; their lengths differ, and one begins with silence."
    folder = tmp_path_factory.mktemp("files")

    def make(channels, rate=22050):
        rng = np.random.default_rng(channels)
        for i in range(8):
            noise = rng.standard_normal((round((0.3 + 0.02 * i) * rate), channels)) * [0.3, 0.05][:channels] + 0.01
            noise[: 1000 * (i == 3)] = 0
            soundfile.write(folder / f"{'ab'[i % 2]}{channels}-{i}.wav", noise / (i + 1), rate, subtype="FLOAT")
        return sorted(folder.glob(f"?{channels}-*.wav"), key=lambda file: file.stem[-1])

    return make


def loaders(files, item_tfms, batch_tfms, target="label", **options):
    block, label = TARGETS[target]
    audio = AudioBlock(**{"sample_rate": 16000, "force_mono": False, **options})
    if "sample_rate" not in options:  # no transforms but those of the test
        audio.item_tfms = audio.item_tfms[:1]
    blocks = DataBlock(
        (audio, block), get_y=label, splitter=lambda items: (range(4), range(4, 8)),
        item_tfms=item_tfms, batch_tfms=batch_tfms,
    )  # fmt: skip
    return blocks.dataloaders(files, bs=1, num_workers=0)


class Power(nn.Module):
    "A layer of random filters, and the mean square of each: differs from clip to clip more than the mean."

    def __init__(self, n_out, n_in=1):
        super().__init__()
        self.filters, self.out = nn.Conv2d(n_in, 6, 3), nn.Linear(6, n_out)

    def forward(self, x):
        return self.out(self.filters(x).square().mean((-2, -1)).log1p())


def by_loaders(learn, file):
    "Outputs of the learner, with random positions in the middle."
    with patch.object(random, "randint", lambda low, high: (low + high) // 2), learn.no_bar():
        return learn.get_preds(dl=learn.dls.test_dl([file], num_workers=0))[0][0].numpy()


def by_pipeline(classifier, file):
    [whole] = predict(classifier, file)
    return whole.probabilities


def random_transforms(rng):
    "Some supported transforms in a random order."
    modes = [AudioPadType.Zeros, AudioPadType.Zeros_After, AudioPadType.Repeat]
    of_waveforms = [
        lambda: Resample(16000),
        DownmixMono,
        lambda: AudioNormalize(rng.choice(["zscore", "rms", "peak"]), per_channel=rng.random() < 0.5),
        lambda: ShortTimeNormalize(0.05),
        lambda: ActiveCrop(0.1),
        lambda: ResizeSignal(rng.choice([150, 500]), rng.choice(modes)),
    ]
    item_tfms = [make() for make in rng.sample(of_waveforms, rng.randint(1, 4))]
    if rng.random() < 0.6:  # else most are refused
        item_tfms.sort(key=lambda tfm: not isinstance(tfm, Resample))
    of_specs = [
        lambda: SpecNormalize(
            axes=rng.choice([(2, 3), (3,), (1, 3)]), method=rng.choice(["zscore", "minmax", "robust"])
        ),
        lambda: SpecNormalize(axes=(0, 1, 3)),
        lambda: SlidingNormalize(10),
        RelaxedFreqNormalize,
        DeltaGPU,
    ]
    specs = [make() for make in rng.sample(of_specs, rng.randint(0, 2))]
    return item_tfms, [SPECS[rng.choice(["mel", "linear", "gammatone"])](), *specs]


@pytest.mark.parametrize("seed", range(40))
def test_random_transforms_are_converted_exactly_or_refused(seed, files):
    rng = random.Random(seed)
    item_tfms, batch_tfms = random_transforms(rng)
    channels = rng.choice([1, 2])
    dls = loaders(files(channels), item_tfms, batch_tfms)
    learn = Learner(dls, Power(2, dls.one_batch()[0].shape[1]))
    try:
        classifier = as_pipeline(learn)
    except ValueError as e:
        assert "cannot convert Resample after" in str(e), f"only for this reason: {item_tfms}"
        return
    for file in files(channels):
        np.testing.assert_allclose(by_pipeline(classifier, file), by_loaders(learn, file), atol=1e-4, err_msg=item_tfms)


def test_a_pipeline_that_differs_is_refused(files):
    "A transform that does more than the layer of its class says is found by the comparison."

    class Louder(AudioNormalize):
        def encodes(self, x: AudioTensor):
            return super().encodes(x) * 1.01

    dls = loaders(files(1), [Resample(16000), Louder()], [SPECS["linear"](to_db=False)])
    with pytest.raises(ValueError, match=r"differs from the learner on validation clip 0: relative 0\.0"):
        as_pipeline(Learner(dls, Power(2)))


def test_silence_cannot_be_removed_by_a_layer(files):
    dls = loaders(files(1), [Resample(16000), RemoveSilence()], [SPECS["linear"]()])
    with pytest.raises(ValueError, match="cannot convert RemoveSilence: each clip"):
        as_pipeline(Learner(dls, Power(2)))


def test_without_validation_clips_there_is_a_warning(files):
    learn = Learner(loaders(files(1), [Resample(16000)], [SPECS["mel"]()]), Power(2))
    expected = by_pipeline(as_pipeline(learn), files(1)[0])
    learn.loss_func = nn.CrossEntropyLoss()  # lacks an activation
    learn.dls.loaders = learn.dls.loaders[:1]
    with pytest.warns(UserWarning, match="not compared with the learner: no validation clips"):
        found = by_pipeline(as_pipeline(learn), files(1)[0])
    np.testing.assert_array_equal(found, expected)


def test_a_stereo_model_refuses_mono_files(files):
    dls = loaders(files(2), [Resample(16000)], [SPECS["mel"]()])
    classifier = as_pipeline(Learner(dls, Power(2, 2)))
    assert classifier.channels == 2
    with pytest.raises(ValueError, match="expects 2 channels, got 1"):
        by_pipeline(classifier, files(1)[0])


SMALL = list(product(["power"], [1, 2], TARGETS))
LARGE = [(network, 2, "labels") for network in ("xresnet18", "resnet18", "vision_learner", "timm")]


@pytest.mark.parametrize("network, channels, target", SMALL + LARGE)
def test_every_target_and_network_is_saved_and_loaded(network, channels, target, files, tmp_path):
    dls = loaders(files(channels), [], [SPECS["mel"]()], target, sample_rate=16000)
    if network == "power":
        learn = Learner(dls, Power(dls.c, channels))
    elif network == "vision_learner":
        learn = vision_learner(dls, resnet18, n_in=channels, pretrained=False)
    elif network == "timm":
        learn = vision_learner(dls, SMALL_ARCH, n_in=channels, pretrained=False)
    else:
        learn = spec_learner(dls, network, metrics=None)
    classifier = as_pipeline(learn, **({"names": ["x", "y"]} if target == "numbers" else {}))
    assert classifier.target == target
    classifier.save(tmp_path / "model.safetensors")
    own = {"network": lambda n_out: Power(n_out, channels)} if network == "power" else {}
    loaded = SoundClassifier.load(tmp_path / "model.safetensors", **own)
    assert loaded.about == classifier.about
    for file in files(channels)[:4]:
        expected = by_loaders(learn, file)
        for model in (classifier, loaded):
            np.testing.assert_allclose(by_pipeline(model, file), expected, atol=1e-4)
    if target == "labels":
        learn.loss_func.thresh = 0.3
        tagger = as_pipeline(learn)
        with learn.no_bar():
            assert tagger.decide(expected) == list(learn.predict(file)[0])
    if target == "numbers":
        assert classifier.classes == ["x", "y"] and as_pipeline(learn).classes == ["value 1", "value 2"]


@pytest.mark.parametrize("channels, target", [(2, "labels"), (1, "numbers")])
def test_exports_are_predicted_like_the_learner(channels, target, files, tmp_path, capsys):
    dls = loaders(files(channels), [], [SPECS["mel"]()], target, sample_rate=16000)
    learn = Learner(dls, Power(dls.c, channels))
    classifier = as_pipeline(learn)
    paths = [tmp_path / f"model.{suffix}" for suffix in ("safetensors", "pt2", "onnx")]
    classifier.save(paths[0])
    classifier.save_program(paths[1])
    classifier.to_onnx(paths[2], 22050)
    file = files(channels)[0]
    expected = by_loaders(learn, file)
    for path in paths:
        own = path.suffix == ".safetensors"  # the other files contain the network
        model = load_model(path, **({"network": lambda n_out: Power(n_out, channels)} if own else {}))
        np.testing.assert_allclose(by_pipeline(model, file), expected, atol=1e-4)
        if own:
            continue
        main(["predict", str(path), str(file), "--json"])
        [row] = json.loads(capsys.readouterr().out)
        values = row["values" if target == "numbers" else "probabilities"]
        np.testing.assert_allclose([values[name] for name in model.classes], expected, atol=1e-4)
        assert row.get("classes") == (model.decide(expected) if target == "labels" else None)
    main(["predict", str(paths[-1]), str(file)])
    assert ("value 1" if target == "numbers" else "classes") in capsys.readouterr().out
