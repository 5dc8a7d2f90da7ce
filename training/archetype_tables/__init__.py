"""The tables of named poses; `unipose.training.archetypes` gives them as poses."""
