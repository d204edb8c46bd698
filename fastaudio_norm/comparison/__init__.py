"""Comparison of normalizations: train with each, save every run, test differences, report."""

from fastaudio_norm.comparison.run import DEFAULT_NORMS, compare, prepare_comparison
from fastaudio_norm.comparison.parallel import ranks
from fastaudio_norm.comparison.training import ClipTrainer
from fastaudio_norm.comparison.own_learner import compare_learners
from fastaudio_norm.comparison.results import Results, find_results
from fastaudio_norm.comparison.scores import CLIP_SCORES, clip_scores
from fastaudio_norm.comparison.significance import clip_test, corrected_t_test, holm, needed_factor, paired_clip_test
from fastaudio_norm.comparison.conditions import (
    ApplyCondition,
    evaluate_conditions,
    format_conditions,
    plot_conditions,
    summarize_conditions,
    under_condition,
)
from fastaudio_norm.comparison.differences import plot_differences
from fastaudio_norm.comparison.report import class_accuracies, confusion, format_table, summarize
from fastaudio_norm.comparison.html_report import write_report
from fastaudio_norm.comparison.plots import FOLD_COLORS, FOLD_MARKERS, plot_comparison, plot_confusion, plot_curves
