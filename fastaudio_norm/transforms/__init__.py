"""Each normalization as a fastai transform."""

from fastaudio_norm.transforms.adaptive import (
    PCEN,
    PCENLayer,
    RelaxedFreqNorm,
    RelaxedFreqNormalize,
    pcen,
    scaled_pcen,
    smoothing_coefficient,
)
from fastaudio_norm.transforms.pretrained import PretrainedStats, ast_stats, beats_stats, passt_stats, whisper_stats
from fastaudio_norm.transforms.registry import Norm, SPEC_NORMS, WAVE_NORMS, make_norm, normalized, show_normalizations
from fastaudio_norm.transforms.sliding import (
    ShortTimeNormalize,
    SlidingNormalize,
    short_time_normalize,
    sliding_normalize,
)
from fastaudio_norm.transforms.spectrogram import (
    AudioNormalize,
    Normalizer,
    SpecNormalize,
    SpecNormalizer,
    check_real,
    check_waveform,
    nonzero_scale,
    offset_and_scale,
    spectrograms_in,
)
