"""Normalization of waveforms and spectrograms for fastai. Importing this package also makes fastaudio 1.0.2 work."""

from importlib.metadata import version

from fastaudio_norm import compat  # noqa: F401  first: all other modules import fastaudio

__version__ = version("fastaudio-norm")
