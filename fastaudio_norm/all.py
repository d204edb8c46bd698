"""The public names of fastaudio_norm, and fastaudio's: `from fastaudio_norm.all import *`."""

from fastaudio.augment.functional import NoiseColor
from fastaudio.augment.preprocess import RemoveSilence, RemoveType, Resample
from fastaudio.augment.signal import (
    AddNoise,
    AddNoiseGPU,
    AudioPadType,
    ChangeVolume,
    ChangeVolumeGPU,
    DownmixMono,
    ResizeSignal,
    SignalCutout,
    SignalCutoutGPU,
    SignalLoss,
    SignalLossGPU,
    SignalShifter,
)
from fastaudio.augment.spectrogram import (
    CropTime,
    Delta,
    DeltaGPU,
    MaskFreq,
    MaskFreqGPU,
    MaskTime,
    MaskTimeGPU,
    SGRoll,
    TfmResize,
    TfmResizeGPU,
)
from fastaudio.core.config import AudioBlock, AudioConfig, PreprocessAudio, audio_item_tfms, preprocess_audio_folder
from fastaudio.core.signal import AudioGetter, AudioTensor, OpenAudio, get_audio_files
from fastaudio.core.spectrogram import AudioSpectrogram, AudioToMFCC, AudioToSpec, SpectrogramTransformer
from fastaudio.util import test_audio_tensor

from fastaudio_norm.adaptive import PCEN, PCENLayer, RelaxedFreqNorm, RelaxedFreqNormalize
from fastaudio_norm.bins import plot_stats, stats_table
from fastaudio_norm.callback import StatsCallback
from fastaudio_norm.clips import cached_clips
from fastaudio_norm.compare import compare
from fastaudio_norm.data import CrossValidationSplitter, download_esc50, get_dls, make_clips, read_esc50
from fastaudio_norm.drift import DriftCallback, DriftMonitor
from fastaudio_norm.frontend import ActiveCrop, RandomSpeed, SpecAugment, gammatone_spec
from fastaudio_norm.known import ast_stats, beats_stats, passt_stats, whisper_stats
from fastaudio_norm.learner import EpochBatchNorm, make_xresnet_grayscale, spec_learner, train_loops
from fastaudio_norm.measure import measure
from fastaudio_norm.norms import show_normalizations
from fastaudio_norm.recipe import RECIPES, Recipe
from fastaudio_norm.report import class_accuracies, plot_comparison, plot_confusion, plot_curves, summarize
from fastaudio_norm.serve import SoundClassifier, as_pipeline, predict
from fastaudio_norm.sliding import ShortTimeNormalize, SlidingNormalize
from fastaudio_norm.stats import StatsRecorder
from fastaudio_norm.transforms import AudioNormalize, SpecNormalize
from fastaudio_norm.update import update_stats

__all__ = [name for name in dir() if not name.startswith("_")]
