"""Audio files, spectrograms and augmentation."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

from fastaudio_norm.audio.augment import ActiveCrop, FreqMixStyle, RandomChange, RandomSpeed, SpecAugment
from fastaudio_norm.audio.cache import CachedClips, cache_folder, cached_clips, clip_names
from fastaudio_norm.audio.changes import bandpass, microphone_response, room_response, telephone_band
from fastaudio_norm.audio.conditions import Condition, make_condition, make_conditions
from fastaudio_norm.audio.encoded import EncodedClip, encode_samples
from fastaudio_norm.audio.files import (
    BadAudio,
    MAX_MAGNITUDE,
    MAX_RATE,
    ON_ERROR,
    as_bad_audio,
    check_files,
    common_rate,
    most_common_rate,
    open_audio,
    printable_path,
    raise_unusable,
    read_clip,
)
from fastaudio_norm.audio.front_ends import FrontEndToSpec, front_end_spec
from fastaudio_norm.audio.spectrograms import (
    FilterBank,
    SAMPLE_RATE,
    SPECS,
    about_spec,
    bands_note,
    gammatone_fbanks,
    gammatone_spec,
    make_spec,
    spec_rate,
    spec_settings,
    to_spec,
)
from fastaudio_norm.audio.workers import map_in_processes
