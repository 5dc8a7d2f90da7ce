"""Synthetic images: rendered people in random styles."""
