"""Tables of clips, cross-validation folds, data loaders and synthetic data."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

from fastaudio_norm.audio import telephone_band
from fastaudio_norm.data.folds import CrossValidationSplitter, check_folds, check_training_classes
from fastaudio_norm.data.loaders import get_dls
from fastaudio_norm.data.sources import download_esc50, find_audio, read_esc50, sample_files
from fastaudio_norm.data.synthetic import SYNTHETIC_SOUNDS, make_clips
