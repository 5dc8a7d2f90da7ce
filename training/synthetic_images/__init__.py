"""Rendered people in all variety."""
