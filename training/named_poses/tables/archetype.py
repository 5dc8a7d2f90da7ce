"""What a named pose is."""

from dataclasses import dataclass

from unipose.training.named_poses.joint_angles import Angles


@dataclass(frozen=True)
class Archetype:
    """Sentences for a pose, its angles, and its expected posecodes and ground contacts.

    Args:
        sentences: plain words for the pose; a pose with a side names the side in each.
        angles: of the joints that do not rest.
        posture: value of the posture code that the sentences state; empty where none fits.
        arms: value of the arms code that the sentences state; empty where none fits.
        ground: parts of the body that touch the ground: feet, knees (with the shins) and hands with their side, and
            "hips", "back" (either side of the trunk) and "head".
    """

    sentences: tuple[str, ...]
    angles: Angles
    posture: str = ""
    arms: str = ""
    ground: tuple[str, ...] = ("left_foot", "right_foot")


ARMS_DOWN: Angles = {"shoulder": (-75, 0, 0), "elbow": (0, -8, 0)}
