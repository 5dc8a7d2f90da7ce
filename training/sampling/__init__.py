"""Plausible poses and pairs of poses: motion clips, named poses, and what is made of both."""
