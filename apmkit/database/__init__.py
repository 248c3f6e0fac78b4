"""Panels whose rows stay in a parquet file or a DuckDB relation."""
