"""Editors, editions and the job that makes them: edits written into the weights, proved, undone."""
