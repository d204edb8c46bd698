"""Normalization of waveforms and spectrograms for fastai. After this import, fastaudio 1.0.2 can be imported."""

from importlib.metadata import version

from fastaudio_norm import compat  # noqa: F401  first: other modules import fastaudio

__version__ = version("fastaudio-norm")
