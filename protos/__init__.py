"""The wire contract and the stubs generated from it. Imports nothing of ours."""
