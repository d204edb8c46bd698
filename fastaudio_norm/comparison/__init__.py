"""Train with each normalization, and compare."""

from fastaudio_norm.comparison.report import (
    FOLD_COLORS,
    FOLD_MARKERS,
    class_accuracies,
    confusion,
    format_table,
    holm,
    plot_comparison,
    plot_confusion,
    plot_curves,
    summarize,
)
from fastaudio_norm.comparison.results import Results
from fastaudio_norm.comparison.run import DEFAULT_NORMS, compare
