"""Statistics of a folder of audio or another source: resumable, and shared among processes and machines."""

from fastaudio_norm.measure.checkpoint import SAVE_INTERVAL, Checkpoint
from fastaudio_norm.measure.distributed import merge_ranks, process_group, rank_and_world_size
from fastaudio_norm.measure.folder import FileToSpec, measure, measure_files
from fastaudio_norm.measure.measurement import Measurement
from fastaudio_norm.measure.sources import IndexedClips, StreamedClips, clips_of, is_source
