"""Samplers of plausible poses and pose pairs, from motion clips and named poses."""
