"""The public names of fastaudio_norm, and fastaudio's."""

from fastaudio.all import *  # noqa: F403

from fastaudio_norm.callback import StatsCallback
from fastaudio_norm.compare import compare, plot_comparison, summarize
from fastaudio_norm.data import CrossValidationSplitter, download_esc50, get_dls, make_clips, read_clips, read_esc50
from fastaudio_norm.learner import make_xresnet_grayscale, spec_learner, train_loops
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.transforms import AudioNormalize, SpecNormalize
