"""The tables of named poses; `unipose.training.named_poses.archetypes` gives them as poses."""
