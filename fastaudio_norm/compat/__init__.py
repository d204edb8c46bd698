"""fastaudio 1.0.2 on the current fastai, PyTorch and Python."""

import fastaudio_norm.compat.imports  # first: imports fastaudio, which the other modules need
import fastaudio_norm.compat.axes
import fastaudio_norm.compat.batches
import fastaudio_norm.compat.blocks
import fastaudio_norm.compat.display
import fastaudio_norm.compat.tensors
from fastaudio_norm.compat.audio_io import load_audio, save_audio
from fastaudio_norm.compat.padding import PadClips
