"""Drift detection and updates of statistics."""

from fastaudio_norm.monitor.drift import Drift, DriftCallback, DriftMonitor
from fastaudio_norm.monitor.update import StatsUpdate, update_stats
