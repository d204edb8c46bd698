"""Look at the clips before training: levels, clipping, silence, bandwidth, the same audio twice."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

from fastaudio_norm.inspection.clip import MEASURES, measure_clip
from fastaudio_norm.inspection.clips import explain_clips, groupings, inspect_clips, summarize_clips
from fastaudio_norm.inspection.findings import FINDINGS, find_problems, flag_clips, same_audio
from fastaudio_norm.inspection.page import format_inspection, save_clips, write_inspection
from fastaudio_norm.inspection.plots import plot_finding, plot_levels
from fastaudio_norm.inspection.suggestions import Suggestion, suggest
