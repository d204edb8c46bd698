"""Networks, training recipes, learners, and a callback that records statistics."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

from fastaudio_norm.train.models import (
    ScaledOutput,
    StandardizedMSE,
    WindowAverage,
    find_arch,
    first_conv,
    make_xresnet_grayscale,
)
from fastaudio_norm.train.recipe import RECIPES, Recipe, make_tfms, without
from fastaudio_norm.train.learner import EachEpoch, EpochBatchNorm, bfloat16_training, spec_learner, supports_bfloat16, train_loops, train_run
from fastaudio_norm.train.callback import StatsCallback
