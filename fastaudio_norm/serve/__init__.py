"""Trained models: conversion, export and prediction."""

from fastaudio_norm.serve.classifier import (
    Decibels,
    Deltas,
    Downmix,
    Filters,
    LoudestCrop,
    MAX_WHOLE_SECONDS,
    Pad,
    Prediction,
    ResampleLayer,
    SoundClassifier,
    Spectrum,
    as_pipeline,
    predict,
)
