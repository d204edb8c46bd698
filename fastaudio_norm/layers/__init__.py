"""Every normalization as a plain `nn.Module`, and the formulas."""

from fastaudio_norm.layers.bands import BandMatch
from fastaudio_norm.layers.base import Layer, check_real, nonzero_scale
from fastaudio_norm.layers.front_ends import (
    FRONT_ENDS,
    ASTFrontEnd,
    BEATsFrontEnd,
    CLAPFrontEnd,
    FrontEnd,
    PANNsFrontEnd,
    PaSSTFrontEnd,
    WhisperFrontEnd,
    YAMNetFrontEnd,
)
from fastaudio_norm.layers.groups import GroupedSpecNorm, find_groups
from fastaudio_norm.layers.mel import mel_filters
from fastaudio_norm.layers.padded import check_lengths, clip_by_clip, groups_of_equal_length
from fastaudio_norm.layers.pcen import PCENLayer, pcen, smoothing_coefficient
from fastaudio_norm.layers.relaxed import RelaxedFreqNorm
from fastaudio_norm.layers.short_time import ShortTimeNorm, short_time_normalize
from fastaudio_norm.layers.sliding import SlidingNorm, sliding_normalize
from fastaudio_norm.layers.standardize import ESTIMATES, SpecNorm, dataset_statistics, standardize
from fastaudio_norm.layers.streams import PCENStream, SlidingStream
from fastaudio_norm.layers.waveform import AudioNorm, check_waveform, target_level
