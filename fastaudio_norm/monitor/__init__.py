"""Drift detection and updates of statistics."""

import fastaudio  # first: other threads that import a module of this package wait until it is complete

from fastaudio_norm.monitor.two_sample import drift_tests, hotelling_test, ks_distances
from fastaudio_norm.monitor.drift import Drift, compare_bins, describe_drift, detect_drift
from fastaudio_norm.monitor.drift_monitor import DriftMonitor
from fastaudio_norm.monitor.drift_callback import DriftCallback
from fastaudio_norm.monitor.update import StatsUpdate, update_stats
