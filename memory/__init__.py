"""The words, the errors, the edit log, the index, the subject matcher, the encoder, the facade.

Imports nothing of ours.
"""
