"""Datasets: records -> rows of the seven tasks -> Parquet shards; importers of other datasets; statistics and card."""
