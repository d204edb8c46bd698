"""Trained models: conversion, export and prediction."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

import fastaudio_norm.serve.export  # adds `program` and `to_onnx` to `SoundClassifier`
import fastaudio_norm.serve.int8  # adds `to_int8_onnx`
import fastaudio_norm.serve.model_file  # adds `save` and `load` to it
from fastaudio_norm.serve.classifier import SoundClassifier, WaveformModel, check_front_end
from fastaudio_norm.serve.convert import as_pipeline
from fastaudio_norm.serve.final import FinalModel, train_final
from fastaudio_norm.serve.exported import ExportedModel, load_model
from fastaudio_norm.serve.front_end import Decibels, Deltas, Downmix, Filters, LoudestCrop, Pad, Resize, Spectrum
from fastaudio_norm.serve.predict import MAX_WHOLE_SECONDS, Prediction, predict, predict_files
from fastaudio_norm.serve.resample import ResampleLayer
from fastaudio_norm.serve.streaming import StreamingClassifier
from fastaudio_norm.serve.table import prediction_row, prediction_table
