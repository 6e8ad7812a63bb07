"""Scope classifiers: contract, implementations, training, calibration.

May import memory's record types and the encoder.
"""
