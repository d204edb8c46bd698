"""Running statistics that merge exactly."""

from fastaudio_norm.stats.clip_features import N_BANDS, ClipFeatures
from fastaudio_norm.stats.covariance import RunningCovariance
from fastaudio_norm.stats.distributed import all_gather
from fastaudio_norm.stats.frequencies import (
    MAX_BINS,
    bin_frequencies,
    bin_positions,
    gammatone_frequencies,
    select_bins,
)
from fastaudio_norm.stats.groups import GroupStats, merge_groups
from fastaudio_norm.stats.histogram import CELLS, Histogram
from fastaudio_norm.stats.kernels import REASSOCIATE, compile_kernel, count_cells, map_in_threads, sum_steps
from fastaudio_norm.stats.moments import (
    Moments,
    as_rows,
    blend_moments,
    merge_moments,
    moments_per_row,
    row_moments,
)
from fastaudio_norm.stats.recorder import StatsRecorder, format_span, settings_difference
from fastaudio_norm.stats.reduction import common_recorder
from fastaudio_norm.stats.sampling import SamplingErrors

from fastaudio_norm.stats import quantiles, reduction, serialize  # they add methods to StatsRecorder
