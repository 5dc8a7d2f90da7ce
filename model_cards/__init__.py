"""Templates of model cards and dataset cards."""
