"""Automatic captions: descriptions of poses, texts about the change between two poses, and readers of both."""

from unipose.training.captions.caption_reader import read_caption
from unipose.training.captions.pose_captions import compare_poses, describe_poses


__all__ = ["compare_poses", "describe_poses", "read_caption"]
