"""fastaudio 1.0.2 on the current fastai, PyTorch and Python."""

from fastaudio_norm.compat.imports import load_audio, save_audio
import fastaudio_norm.compat.tensors
from fastaudio_norm.compat.padding import PadClips
import fastaudio_norm.compat.display
