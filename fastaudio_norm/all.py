"""The public names of fastaudio_norm, and fastaudio's: `from fastaudio_norm.all import *`."""

import fastaudio as _fastaudio  # first: other threads wait until it is complete
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

from fastaudio_norm.audio import (
    ActiveCrop,
    Condition,
    FreqMixStyle,
    FrontEndToSpec,
    RandomChange,
    RandomSpeed,
    SpecAugment,
    cached_clips,
    front_end_spec,
    gammatone_spec,
    make_condition,
    make_spec,
)
from fastaudio_norm.comparison import (
    class_accuracies,
    compare,
    compare_learners,
    format_conditions,
    format_table,
    plot_comparison,
    plot_conditions,
    plot_confusion,
    plot_curves,
    summarize,
    summarize_conditions,
    write_report,
)
from fastaudio_norm.compat.groups import GroupedFile, with_group
from fastaudio_norm.data import (
    CrossValidationSplitter,
    GroupReader,
    assign_folds,
    download_esc50,
    get_dls,
    make_clips,
    read_clips,
    read_esc50,
)
from fastaudio_norm.inspection import find_problems, inspect_clips, write_inspection
from fastaudio_norm.layers import (
    FRONT_ENDS,
    ASTFrontEnd,
    BEATsFrontEnd,
    CLAPFrontEnd,
    PANNsFrontEnd,
    PaSSTFrontEnd,
    PCENLayer,
    RelaxedFreqNorm,
    WhisperFrontEnd,
    YAMNetFrontEnd,
    clip_by_clip,
)
from fastaudio_norm.measure import measure
from fastaudio_norm.monitor import (
    DriftCallback,
    DriftMonitor,
    DriftSession,
    DriftWatch,
    NetworkReference,
    adapt_batchnorm,
    detect_network_drift,
    estimate_accuracy,
    evaluate_adaptation,
    match_bands,
    measure_reference,
    network_clips,
    network_inputs,
    update_stats,
)
from fastaudio_norm.serve import SoundClassifier, StreamingClassifier, as_pipeline, predict, predict_files, train_final
from fastaudio_norm.stats import GroupStats, StatsRecorder
from fastaudio_norm.stats.plots import plot_stats, stats_table
from fastaudio_norm.train import (
    RECIPES,
    EpochBatchNorm,
    Recipe,
    StatsCallback,
    make_tfms,
    make_xresnet_grayscale,
    spec_learner,
    train_loops,
    train_run,
)
from fastaudio_norm.transforms import (
    PCEN,
    AudioNormalize,
    RelaxedFreqNormalize,
    ShortTimeNormalize,
    SlidingNormalize,
    SpecNormalize,
    ast_stats,
    beats_stats,
    normalized,
    passt_stats,
    show_normalizations,
    stats_of_data,
    whisper_stats,
    write_preprocessor_config,
)

__all__ = [name for name in dir() if not name.startswith("_")]
