"""Data set readers, metrics, runs and reports. May import runtime and below."""
