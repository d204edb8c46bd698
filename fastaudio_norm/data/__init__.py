"""Tables of clips, targets and metrics, cross-validation folds, data loaders and synthetic data."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

from fastaudio_norm.data.folds import (
    CrossValidationSplitter,
    assign_folds,
    check_folds,
    check_training_classes,
    validation_folds,
)
from fastaudio_norm.data.groups import GroupReader, clip_groups, new_groups_note
from fastaudio_norm.data.leaks import check_groups, shared_audio, shared_files
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.metrics import METRICS, Metric, as_fastai, as_predictions, find_metric
from fastaudio_norm.data.sources import download_esc50, find_audio, read_clips, read_esc50, sample_files
from fastaudio_norm.data.synthetic import SYNTHETIC_SOUNDS, make_clips
from fastaudio_norm.data.tables import is_audio_name, parse_csv
from fastaudio_norm.data.targets import Target, find_target, kind_of_loaders, parse_labels
