"""The words, the errors, the edit log, the index, the subject matcher, the encoder and the facade
EditMemory. Imports nothing of ours."""
