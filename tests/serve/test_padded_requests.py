"""Clips of a padded batch get the normalization and the outputs that they get alone."""

import numpy as np
import pytest
import soundfile
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.learner import Learner
from fastaudio.core.config import AudioBlock
from torch import nn

from fastaudio_norm.audio import SPECS
from fastaudio_norm.layers import check_lengths
from fastaudio_norm.serve import ExportedModel, as_pipeline
from fastaudio_norm.transforms import PCEN, AudioNormalize, RelaxedFreqNormalize, SlidingNormalize, SpecNormalize

SR = 16000
LENGTHS = [8000, 5000, 7000, 5000]  # samples
PIPELINES = {
    "statistics of each clip": (True, [AudioNormalize], [SpecNormalize, {"axes": (3,), "method": "robust"}]),
    "sliding": (True, [], [SlidingNormalize, {"window": 9}]),
    "relaxed": (True, [], [RelaxedFreqNormalize, {}]),
    "PCEN": (False, [], [PCEN, {}]),
    "statistics of a data set": (True, [], [SpecNormalize, {"axes": (0, 1, 3)}]),
}


class Power(nn.Module):
    "Mean square of the outputs of random filters."

    def __init__(self):
        super().__init__()
        self.filters, self.out = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        return self.out(self.filters(x).square().mean((-2, -1)).log1p())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for i, n in enumerate(LENGTHS * 2):
        soundfile.write(folder / f"{i}{'ab'[i % 2]}.wav", rng.standard_normal(n) * 0.1 / (i + 1), SR, subtype="FLOAT")
    return sorted(folder.iterdir())


def loaders(files, to_db, item_tfms, norm):
    cls, options = norm
    return DataBlock(
        blocks=(AudioBlock, CategoryBlock),
        get_y=lambda file: file.stem[-1],
        splitter=lambda items: (range(4), range(4, 8)),
        item_tfms=[tfm() for tfm in item_tfms],
        batch_tfms=[SPECS["mel"](to_db=to_db), cls(**options)],
    ).dataloaders(files, bs=4, num_workers=0)


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.filterwarnings("ignore:A batch contains clips")
def test_a_pipeline_agrees_with_padded_batches_of_its_loaders(name, files):
    dls = loaders(files, *PIPELINES[name])
    classifier = as_pipeline(Learner(dls, Power()))
    clips = [torch.from_numpy(soundfile.read(file, dtype="float32")[0])[None] for file in files[4:]]
    [(batch, _)] = dls.valid
    for clip, spec in zip(clips, batch):
        alone = classifier.front(clip[None])[0]
        torch.testing.assert_close(spec[..., : alone.shape[-1]].as_subclass(torch.Tensor), alone, atol=1e-5, rtol=1e-5)
    padded = torch.stack([nn.functional.pad(clip, (0, max(LENGTHS) - clip.shape[-1]), value=7.0) for clip in clips])
    exported = ExportedModel(classifier, **classifier.about)
    with torch.no_grad():
        expected = torch.cat([classifier(clip[None]) for clip in clips])
        for model in (classifier, exported):
            torch.testing.assert_close(model.outputs_of_padded(padded, LENGTHS), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("lengths", [[8000] * 3, [8001, 1, 1, 1], [-1, 1, 1, 1]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    with pytest.raises(ValueError, match="Expected 4 lengths between 0 and 8000"):
        check_lengths(torch.zeros(4, 1, 8000), lengths)
