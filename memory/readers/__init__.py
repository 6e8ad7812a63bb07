"""Readers of edit files: our JSONL, CounterFact, zsRE, CSV and Parquet."""
