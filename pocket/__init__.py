"""The embedded default models: facts, corpus, training scripts and weights; imported by none."""
