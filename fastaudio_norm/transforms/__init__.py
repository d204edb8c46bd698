"""Every normalization as a fastai transform."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

from fastaudio_norm.transforms.base import Normalizer, SpecNormalizer, known_groups, known_lengths, spectrograms_in
from fastaudio_norm.transforms.gallery import show_normalizations
from fastaudio_norm.transforms.pcen import PCEN
from fastaudio_norm.transforms.pretrained import (
    PretrainedStats,
    ast_stats,
    beats_stats,
    passt_stats,
    stats_of_data,
    whisper_stats,
)
from fastaudio_norm.transforms.preprocessor_config import read_preprocessor_config, write_preprocessor_config
from fastaudio_norm.transforms.registry import SPEC_NORMS, WAVE_NORMS, Norm, make_norm, normalized
from fastaudio_norm.transforms.relaxed import RelaxedFreqNormalize
from fastaudio_norm.transforms.sliding import SlidingNormalize
from fastaudio_norm.transforms.spectrogram import SpecNormalize
from fastaudio_norm.transforms.waveform import AudioNormalize, ShortTimeNormalize

from fastaudio_norm.transforms import groups  # adds `add_group` to SpecNormalize
