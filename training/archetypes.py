"""Well-known poses by name: joint angles, and the plain sentences people use for them.

Angles are degrees from the T-pose (x = the body's left, y = up, z = forward). A side joint is written as on the LEFT
side (`hip` = both sides, `left_hip` and `right_hip` = one); the right side is its mirror image. Orders: shoulders
intrinsic ZYX (arm down from T negative z, forward negative y, inward roll positive x), hips YXZ (outward y, flexion
negative x, abduction z), every other joint XYZ (knee flexion +x, elbow flexion -y, trunk forward +x, to the right +z).
"""

from dataclasses import dataclass

import roma
import torch

from unipose.processing.pose_features import JOINT_NAMES, NUM_JOINTS, mirror_pose, to_z_up
from unipose.training.captions.posecodes import swap_sides


Angles = dict[str, tuple[float, float, float]]

EULER_ORDERS = {"hip": "YXZ", "shoulder": "ZYX"}


@dataclass(frozen=True)
class Archetype:
    """Sentences for a pose, its angles, and the `posture` and `arms` codes it has to show."""

    sentences: tuple[str, ...]
    angles: Angles
    posture: str = ""
    arms: str = ""


_ARMS_DOWN: Angles = {"shoulder": (-75, 0, 0), "elbow": (0, -8, 0)}
_POINTED_FEET: Angles = {"ankle": (45, 0, 0)}

ARCHETYPES: dict[str, Archetype] = {
    "stand": Archetype(
        ("A person stands upright.", "Someone is standing.", "A person is standing still."),
        _ARMS_DOWN,
        "stands",
        "down",
    ),
    "t_pose": Archetype(
        ("A person stands in a T-pose.", "Someone stands with the arms stretched out to the sides."),
        {},
        "stands",
        "t_pose",
    ),
    "hands_up": Archetype(
        ("A person raises both arms.", "Someone stands with the hands up.", "A person holds both hands up."),
        {"shoulder": (72, 0, 0), "collar": (0, 0, 18)},
        "stands",
        "overhead",
    ),
    "hand_up_left": Archetype(
        ("A person raises the left arm.", "Someone stands with the left hand up."),
        _ARMS_DOWN | {"left_shoulder": (72, 0, 0), "left_collar": (0, 0, 18)},
        "stands",
        "left_up",
    ),
    "wave_left": Archetype(
        ("A person waves with the left hand.", "Someone is waving the left hand."),
        _ARMS_DOWN | {"left_shoulder": (12, 0, -90), "left_elbow": (0, -70, 0), "left_collar": (0, 0, 8)},
        "stands",
        "left_up",
    ),
    "arms_forward": Archetype(
        ("A person stretches both arms forward.", "Someone stands with the arms forward."),
        {"shoulder": (0, -85, 0)},
        "stands",
        "forward",
    ),
    "hands_on_hips": Archetype(
        ("A person stands with the hands on the hips.", "Someone has both hands on the hips."),
        {"shoulder": (-50, 15, 90), "elbow": (0, -70, 0)},
        "stands",
        "on_hips",
    ),
    "arms_crossed": Archetype(
        ("A person stands with crossed arms.", "Someone has the arms crossed."),
        {"shoulder": (-75, -32, 75), "elbow": (0, -95, 0)},
        "stands",
        "crossed",
    ),
    "hands_behind_back": Archetype(
        ("A person holds the hands behind the back.", "Someone stands with the hands behind the back."),
        {"shoulder": (-62, 38, 95), "elbow": (0, -62, 0)},
        "stands",
    ),
    "punch_left": Archetype(
        ("A person punches with the left hand.", "Someone is throwing a punch with the left hand."),
        {
            "left_shoulder": (0, -85, 0),
            "right_shoulder": (-65, -5, 20),
            "right_elbow": (0, -125, 0),
            "left_hip": (0, -25, 5),
            "left_knee": (30, 0, 0),
            "right_hip": (0, 10, 10),
            "right_knee": (20, 0, 0),
            "spine2": (0, -15, 0),
        },
    ),
    "star": Archetype(
        ("A person stands like a star.", "Someone stands with the arms and legs spread wide."),
        {"shoulder": (32, 0, 0), "hip": (0, 0, 27)},
        "stands",
    ),
    "lean_left": Archetype(
        ("A person leans to the left.", "Someone is leaning to the left side."),
        _ARMS_DOWN | {"spine1": (0, 0, -14), "spine2": (0, 0, -12), "spine3": (0, 0, -10)},
    ),
    "bow": Archetype(
        ("A person bows forward.", "Someone is bending forward."),
        {
            "shoulder": (-75, -58, 0),
            "pelvis": (28, 0, 0),
            "hip": (0, -28, 0),
            "spine1": (22, 0, 0),
            "spine2": (14, 0, 0),
        },
        "bends_forward",
    ),
    "touch_toes": Archetype(
        ("A person touches the toes.", "Someone is bending down to touch the toes."),
        {
            "pelvis": (75, 0, 0),
            "hip": (0, -80, 0),
            "spine1": (22, 0, 0),
            "spine2": (18, 0, 0),
            "shoulder": (-40, -110, 0),
        },
        "bends_forward",
    ),
    "crouch": Archetype(
        ("A person crouches a little.", "Someone stands with bent knees."),
        _ARMS_DOWN | {"hip": (0, -50, 5), "knee": (65, 0, 0), "ankle": (-22, 0, 0), "spine1": (20, 0, 0)},
        "crouches",
    ),
    "squat": Archetype(
        ("A person squats.", "Someone is squatting down.", "A person squats with the arms forward."),
        {
            "hip": (15, -100, 15),
            "knee": (120, 0, 0),
            "ankle": (-22, 0, 0),
            "spine1": (20, 0, 0),
            "spine2": (10, 0, 0),
            "shoulder": (-10, -85, 0),
        },
        "squats",
    ),
    "sit": Archetype(
        ("A person sits.", "Someone is sitting on a chair.", "A person sits on a chair."),
        {"hip": (0, -88, 4), "knee": (88, 0, 0), "shoulder": (-68, -22, 0), "elbow": (0, -45, 0)},
        "sits",
    ),
    "sit_ground": Archetype(
        ("A person sits on the ground.", "Someone sits on the floor with the legs stretched out."),
        {"pelvis": (-6, 0, 0), "hip": (5, -82, 5), "shoulder": (-70, 15, 0)},
        "sits_ground",
    ),
    "kneel": Archetype(
        ("A person kneels.", "Someone is kneeling on both knees.", "A person kneels on the ground."),
        _ARMS_DOWN | _POINTED_FEET | {"knee": (88, 0, 0)},
        "kneels_both",
        "down",
    ),
    "kneel_left": Archetype(
        ("A person kneels on the left knee.", "Someone is kneeling on the left knee."),
        _ARMS_DOWN
        | {"right_hip": (0, -85, 0), "right_knee": (88, 0, 0), "left_knee": (88, 0, 0), "left_ankle": (30, 0, 0)},
        "kneels_left",
    ),
    "lunge_left": Archetype(
        ("A person lunges with the left leg.", "Someone is in a lunge, the left leg in front."),
        _ARMS_DOWN
        | {
            "left_hip": (0, -72, 0),
            "left_knee": (75, 0, 0),
            "right_hip": (0, 28, 0),
            "right_knee": (18, 0, 0),
            "right_ankle": (-25, 0, 0),
        },
        "lunges_left",
    ),
    "step_left": Archetype(
        ("A person takes a step with the left foot.", "Someone is walking, the left foot in front."),
        _ARMS_DOWN
        | {
            "left_hip": (0, -28, 0),
            "left_knee": (8, 0, 0),
            "right_hip": (0, 20, 0),
            "right_knee": (15, 0, 0),
            "left_shoulder": (-75, 20, 0),
            "right_shoulder": (-75, -25, 0),
            "elbow": (0, -25, 0),
        },
        "steps_left",
    ),
    "stand_on_right": Archetype(
        ("A person stands on the right leg.", "Someone is balancing on the right leg."),
        _ARMS_DOWN | {"left_hip": (0, -75, 0), "left_knee": (95, 0, 0), "shoulder": (-35, 0, 0)},
        "one_leg_right",
    ),
    "kick_left": Archetype(
        ("A person kicks with the left leg.", "Someone is kicking with the left leg."),
        {
            "left_hip": (0, -88, 0),
            "left_knee": (10, 0, 0),
            "pelvis": (-8, 0, 0),
            "right_hip": (0, 8, 0),
            "shoulder": (-50, 0, 0),
            "elbow": (0, -50, 0),
        },
        "kicks_left",
    ),
    "lie_back": Archetype(
        ("A person lies on the back.", "Someone is lying face up.", "A person lies on the ground."),
        _ARMS_DOWN | {"pelvis": (-90, 0, 0)},
        "lies_back",
    ),
    "lie_front": Archetype(
        ("A person lies face down.", "Someone is lying on the stomach."),
        _ARMS_DOWN | _POINTED_FEET | {"pelvis": (90, 0, 0)},
        "lies_front",
    ),
    "lie_left": Archetype(
        ("A person lies on the left side.", "Someone is lying on the left side."),
        {"pelvis": (0, 0, -90), "hip": (0, -40, 0), "knee": (55, 0, 0), "shoulder": (-80, -65, 0)},
        "lies_left",
    ),
    "crawl": Archetype(
        ("A person is on all fours.", "Someone is crawling on hands and knees.", "A person crawls."),
        _POINTED_FEET
        | {
            "pelvis": (68, 0, 0),
            "hip": (0, -68, 0),
            "knee": (85, 0, 0),
            "shoulder": (-78, -66, 0),
            "neck": (-20, 0, 0),
        },
        "all_fours",
    ),
}


def archetype_poses(names: list[str]) -> torch.Tensor:
    """The named poses, exactly as in the table (a "_right" name is the mirrored "_left" one).

    Args:
        names: keys of `ARCHETYPES`, or those keys with left and right exchanged.

    Returns:
        (n, 22, 3, 3) rotations in the stored z-up frame, facing the default way.
    """
    known = {name: to_z_up(_pose(ARCHETYPES[name].angles)) for name in {_table_name(name) for name in names}}
    poses = [known[name] if name in known else mirror_pose(known[_table_name(name)]) for name in names]
    return torch.stack(poses)


def archetype_sentences(name: str) -> tuple[str, ...]:
    """The plain sentences for a pose, left and right exchanged for a mirrored name."""
    sentences = ARCHETYPES[_table_name(name)].sentences
    return sentences if name in ARCHETYPES else tuple(swap_sides(sentence) for sentence in sentences)


def _table_name(name: str) -> str:
    return name if name in ARCHETYPES else swap_sides(name)


def _pose(angles: Angles) -> torch.Tensor:
    pose = torch.eye(3).repeat(NUM_JOINTS, 1, 1)
    for index, joint in enumerate(JOINT_NAMES):
        side, _, part = joint.rpartition("_")
        given = angles.get(joint) or angles.get(part)
        if given is None:
            continue
        signs = {"YXZ": (-1, 1, -1), "ZYX": (-1, -1, 1), "XYZ": (1, -1, -1)}
        order = EULER_ORDERS.get(part, "XYZ")
        mirrored = signs[order] if side == "right" else (1, 1, 1)
        values = torch.tensor([angle * sign for angle, sign in zip(given, mirrored)], dtype=torch.float32)
        pose[index] = roma.euler_to_rotmat(order, values, degrees=True)
    return pose
