"""The public names of fastaudio_norm, and fastaudio's: `from fastaudio_norm.all import *`.

The comment beside each name of this package is its task: the reference on the site lists names by task.
"""

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
    ActiveCrop,  # Augment
    Condition,  # Compare normalizations
    FreqMixStyle,  # Augment
    FrontEndToSpec,  # Use pretrained networks
    RandomChange,  # Augment
    RandomSpeed,  # Augment
    SpecAugment,  # Augment
    cached_clips,  # Read clips and folds
    front_end_spec,  # Use pretrained networks
    gammatone_spec,  # Make spectrograms
    make_condition,  # Compare normalizations
    make_spec,  # Make spectrograms
)
from fastaudio_norm.comparison import (
    class_accuracies,  # Compare normalizations
    compare,  # Compare normalizations
    compare_learners,  # Compare normalizations
    format_conditions,  # Compare normalizations
    format_table,  # Compare normalizations
    plot_comparison,  # Compare normalizations
    plot_conditions,  # Compare normalizations
    plot_confusion,  # Compare normalizations
    plot_curves,  # Compare normalizations
    plot_differences,  # Compare normalizations
    summarize,  # Compare normalizations
    summarize_conditions,  # Compare normalizations
    write_report,  # Compare normalizations
)
from fastaudio_norm.compat.groups import (
    GroupedFile,  # Read clips and folds
    with_group,  # Read clips and folds
)
from fastaudio_norm.data import (
    CrossValidationSplitter,  # Read clips and folds
    GroupReader,  # Read clips and folds
    assign_folds,  # Read clips and folds
    download_esc50,  # Read clips and folds
    get_dls,  # Read clips and folds
    make_clips,  # Read clips and folds
    read_clips,  # Read clips and folds
    read_esc50,  # Read clips and folds
)
from fastaudio_norm.inspection import (
    find_problems,  # Inspect clips
    inspect_clips,  # Inspect clips
    write_inspection,  # Inspect clips
)
from fastaudio_norm.layers import (
    FRONT_ENDS,  # Use pretrained networks
    ASTFrontEnd,  # Use pretrained networks
    BEATsFrontEnd,  # Use pretrained networks
    CLAPFrontEnd,  # Use pretrained networks
    PANNsFrontEnd,  # Use pretrained networks
    PaSSTFrontEnd,  # Use pretrained networks
    PCENLayer,  # Normalize spectrograms
    RelaxedFreqNorm,  # Normalize spectrograms
    WhisperFrontEnd,  # Use pretrained networks
    YAMNetFrontEnd,  # Use pretrained networks
    clip_by_clip,  # Normalize spectrograms
)
from fastaudio_norm.measure import (
    measure,  # Measure statistics
)
from fastaudio_norm.monitor import (
    DriftCallback,  # Monitor
    DriftMonitor,  # Monitor
    DriftSession,  # Monitor
    DriftWatch,  # Monitor
    NetworkReference,  # Monitor
    adapt_batchnorm,  # Adapt to new recordings
    detect_network_drift,  # Monitor
    estimate_accuracy,  # Monitor
    evaluate_adaptation,  # Adapt to new recordings
    match_bands,  # Adapt to new recordings
    measure_reference,  # Monitor
    network_clips,  # Monitor
    network_inputs,  # Adapt to new recordings
    update_stats,  # Adapt to new recordings
)
from fastaudio_norm.serve import (
    SoundClassifier,  # Deploy
    StreamingClassifier,  # Deploy
    as_pipeline,  # Deploy
    predict,  # Deploy
    predict_files,  # Deploy
    train_final,  # Deploy
)
from fastaudio_norm.stats import (
    GroupStats,  # Measure statistics
    StatsRecorder,  # Measure statistics
)
from fastaudio_norm.stats.plots import (
    plot_stats,  # Measure statistics
    stats_table,  # Measure statistics
)
from fastaudio_norm.train import (
    RECIPES,  # Train
    EpochBatchNorm,  # Train
    Recipe,  # Train
    StatsCallback,  # Measure statistics
    make_tfms,  # Train
    make_xresnet_grayscale,  # Train
    spec_learner,  # Train
    train_loops,  # Train
    train_run,  # Train
)
from fastaudio_norm.transforms import (
    PCEN,  # Normalize spectrograms
    AudioNormalize,  # Normalize waveforms
    RelaxedFreqNormalize,  # Normalize spectrograms
    ShortTimeNormalize,  # Normalize spectrograms
    SlidingNormalize,  # Normalize spectrograms
    SpecNormalize,  # Normalize spectrograms
    ast_stats,  # Use pretrained networks
    beats_stats,  # Use pretrained networks
    normalized,  # Normalize spectrograms
    passt_stats,  # Use pretrained networks
    show_normalizations,  # Normalize spectrograms
    stats_of_data,  # Use pretrained networks
    whisper_stats,  # Use pretrained networks
    write_preprocessor_config,  # Use pretrained networks
)

__all__ = [name for name in dir() if not name.startswith("_")]
