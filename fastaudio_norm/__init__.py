"""Normalize waveforms and spectrograms in fastai; with it, fastaudio 1.0.2 works on today's fastai."""

from importlib.metadata import version

from fastaudio_norm import compat  # noqa: F401  before any module that imports fastaudio

__version__ = version("fastaudio-norm")
