"""Running statistics that merge exactly."""

from fastaudio_norm.stats.clip_features import ClipFeatures, N_BANDS, RunningCovariance
from fastaudio_norm.stats.frequencies import (
    MAX_BINS,
    bin_frequencies,
    bin_positions,
    gammatone_frequencies,
    select_bins,
)
from fastaudio_norm.stats.histogram import CELLS, Histogram
from fastaudio_norm.stats.moments import (
    Moments,
    REASSOCIATE,
    as_rows,
    compile_kernel,
    count_cells,
    map_in_threads,
    moments_per_row,
    row_moments,
)
from fastaudio_norm.stats.recorder import StatsRecorder, common_recorder, format_span, settings_difference
from fastaudio_norm.stats.sampling import SamplingErrors
import fastaudio_norm.stats.serialize
