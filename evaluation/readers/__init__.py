"""Readers of data sets: from files to records with probes. May import evaluation.probes, memory."""
