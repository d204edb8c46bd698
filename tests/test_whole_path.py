"""The path that the README shows: star imports, training, and a prediction in another process."""

import json
import multiprocessing

import fastai.vision.all
import matplotlib.pyplot as plt
import pytest
import quick_python
import torch
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import ColReader
from support import PROCESSES, run

import fastaudio_norm.all as public
from fastaudio_norm.all import (
    AudioBlock,
    AudioConfig,
    AudioNormalize,
    AudioToSpec,
    CrossValidationSplitter,
    SpecNormalize,
    get_dls,
    spec_learner,
)

SERVE = """
import json, sys, warnings
from fastai.vision.all import *
from fastaudio_norm.all import *
warnings.simplefilter("ignore")
learn = load_learner(sys.argv[1])
with learn.no_bar():
    name, _, probabilities = learn.predict(sys.argv[2])
norm = learn.dls.valid.after_batch.fs[-1]
print(json.dumps([name, probabilities.tolist(), norm.mean.tolist(), norm.std.tolist()]))
"""


def test_star_imports_do_not_replace_names_of_fastai():
    shared = set(public.__all__) & set(vars(fastai.vision.all))
    assert all(getattr(public, name) is getattr(fastai.vision.all, name) for name in shared), shared
    documented = {
        "AudioNormalize", "SpecNormalize", "StatsRecorder", "StatsCallback", "CrossValidationSplitter", "get_dls",
        "make_xresnet_grayscale", "train_loops", "spec_learner", "SlidingNormalize", "ShortTimeNormalize", "PCEN",
        "RelaxedFreqNormalize", "show_normalizations", "ActiveCrop", "SpecAugment", "gammatone_spec", "cached_clips",
        "AudioBlock", "AudioToSpec", "AudioConfig",
    }  # fmt: skip
    assert documented <= set(public.__all__)


def test_an_exported_learner_predicts_the_same_in_another_process(df, made_up, tmp_path):
    spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32, n_fft=1024, hop_length=512))
    norm = SpecNormalize(axes=(0, 1, 3))
    block = DataBlock(
        blocks=(AudioBlock, CategoryBlock),
        get_x=ColReader("filename", pref=made_up / "audio"),
        get_y=ColReader("category"),
        splitter=CrossValidationSplitter(fold=1),
        item_tfms=[AudioNormalize],
        batch_tfms=[spec, norm],
    )
    dls = block.dataloaders(df, bs=16, num_workers=2)
    learn = spec_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1)
        learn.show_results(max_n=4)
        titles = [ax.get_title() for ax in plt.gcf().axes if ax.get_title()]
        assert len(titles) == 4 and all("predicted" in title for title in titles)
        plt.close("all")
        file = str(made_up / "audio" / df.filename[0])
        name, _, probabilities = learn.predict(file)
    learn.export(tmp_path / "sounds.pkl")
    served = run(quick_python.start(), "-c", SERVE, str(tmp_path / "sounds.pkl"), file, cwd=tmp_path)
    served_name, served_probabilities, mean, std = json.loads(served.splitlines()[-1])
    assert served_name == name
    assert torch.allclose(torch.tensor(served_probabilities), probabilities, atol=1e-5)
    assert mean == norm.mean.tolist() and std == norm.std.tolist()


SPAWN = multiprocessing.get_context("spawn")


@pytest.mark.parametrize("loaders, context", [("block", SPAWN), ("block", PROCESSES), ("get_dls", PROCESSES)])
def test_workers_that_are_not_forked_load_the_same_batches(loaders, context, df, made_up, monkeypatch):
    "They get the loaders pickled. A spawned worker also imports everything, which takes seconds."
    spec = AudioToSpec.from_cfg(AudioConfig.BasicMelSpectrogram(n_mels=32))
    tfms = {"item_tfms": AudioNormalize(), "batch_tfms": [spec, SpecNormalize(axes=(0, 1, 3))]}
    if loaders == "get_dls":
        dls = get_dls(df, made_up, num_workers=0, **tfms)
    else:
        block = DataBlock(
            blocks=(AudioBlock, CategoryBlock),
            get_x=ColReader("filename", pref=made_up / "audio"),
            get_y=ColReader("category"),
            splitter=CrossValidationSplitter(fold=1),
            **tfms,
        )
        dls = block.dataloaders(df, num_workers=0)
    monkeypatch.setattr("fastai.data.load.multiprocessing", context)
    own, loaded = ([x.mean().item() for x, _ in dls.valid.new(num_workers=n)] for n in (0, 1))
    assert own == loaded
