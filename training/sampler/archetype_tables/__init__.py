"""The tables of named poses; `unipose.training.sampler.archetypes` gives them as poses."""
