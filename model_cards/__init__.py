"""Cards and the Space that are published beside the weights."""
