"""Drift detection and updates of statistics."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

from fastaudio_norm.monitor.two_sample import drift_tests, hotelling_test, hotelling_tests, ks_distances, shrunk_covariance
from fastaudio_norm.monitor.sequential import DriftWatch, KnownFeatures, average_run_length, mewma_threshold
from fastaudio_norm.monitor.network import NetworkClips, network_clips
from fastaudio_norm.monitor.accuracy import AccuracyEstimate, estimate_accuracy
from fastaudio_norm.monitor.network_reference import NetworkReference, measure_reference, model_fingerprint
from fastaudio_norm.monitor.network_drift import NetworkDrift, detect_network_drift, network_tests
from fastaudio_norm.monitor.clip_model import ClipModel, line_response
from fastaudio_norm.monitor.causes import compare_causes, name_cause
from fastaudio_norm.monitor.drift import Drift, compare_bins, detect_drift
from fastaudio_norm.monitor.drift_monitor import DriftMonitor
from fastaudio_norm.monitor.folder_watch import FolderWatch, LiveClips, live_spectrogram, measure_live
from fastaudio_norm.monitor.drift_callback import DriftCallback
from fastaudio_norm.monitor.session import DriftSession
from fastaudio_norm.monitor.update import StatsUpdate, update_stats
from fastaudio_norm.monitor.batchnorm import adapt_batchnorm, batchnorm_layers, network_inputs
from fastaudio_norm.monitor.bands import match_bands
from fastaudio_norm.monitor.evaluation import Evaluation, as_truth, evaluate_adaptation, refuse_overlap
