"""Named poses of someone who stands on both feet: gestures, looks, stretches. Angles as in `joint_angles`."""

from unipose.training.named_poses.tables.archetype import ARMS_DOWN, Archetype


STANDING: dict[str, Archetype] = {
    "stand": Archetype(
        ("A person stands upright.", "Someone is standing.", "A person is standing still."),
        ARMS_DOWN,
        posture="stands",
        arms="down",
    ),
    "t_pose": Archetype(
        ("A person stands in a T-pose.", "Someone stands with the arms stretched out to the sides."),
        {},
        posture="stands",
        arms="t_pose",
    ),
    "hands_up": Archetype(
        ("A person raises both arms.", "Someone stands with the hands up.", "A person holds both hands up."),
        {"collar": (0, 0, 18), "shoulder": (72, 0, 0)},
        posture="stands",
        arms="overhead",
    ),
    "hand_up_left": Archetype(
        ("A person raises the left arm.", "Someone stands with the left hand up."),
        {"left_collar": (0, 0, 18), "left_shoulder": (72, 0, 0), "right_shoulder": (-75, 0, 0), "elbow": (0, -8, 0)},
        posture="stands",
        arms="left_up",
    ),
    "wave_left": Archetype(
        ("A person waves with the left hand.", "Someone is waving the left hand."),
        {
            "left_collar": (0, 0, 8),
            "left_shoulder": (12, 0, -90),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -70, 0),
            "right_elbow": (0, -8, 0),
        },
        posture="stands",
        arms="left_up",
    ),
    "arms_forward": Archetype(
        ("A person stretches both arms forward.", "Someone stands with the arms forward."),
        {"shoulder": (0, -85, 0)},
        posture="stands",
        arms="forward",
    ),
    "hands_on_hips": Archetype(
        ("A person stands with the hands on the hips.", "Someone has both hands on the hips."),
        {"shoulder": (-50, 15, 90), "elbow": (0, -70, 0)},
        posture="stands",
        arms="on_hips",
    ),
    "arms_crossed": Archetype(
        ("A person stands with crossed arms.", "Someone has the arms crossed."),
        {
            "left_shoulder": (-72, -42, 68),
            "right_shoulder": (-76, -24, 78),
            "left_elbow": (0, -95, 0),
            "right_elbow": (0, -98, 0),
        },
        posture="stands",
        arms="crossed",
    ),
    "hands_behind_back": Archetype(
        ("A person holds the hands behind the back.", "Someone stands with the hands behind the back."),
        {"shoulder": (-62, 38, 95), "elbow": (0, -62, 0)},
        posture="stands",
        arms="behind_back",
    ),
    "hands_on_head": Archetype(
        ("A person puts both hands on the head.", "Someone stands with the hands on top of the head."),
        {"collar": (0, 0, 12), "shoulder": (30, -4, -95), "elbow": (0, -107, 0)},
        posture="stands",
        arms="on_head",
    ),
    "shrug": Archetype(
        ("A person shrugs the shoulders.", "Someone stands and shrugs, both hands out to the sides."),
        {"collar": (0, 0, 22), "shoulder": (-68, 0, -50), "elbow": (0, -95, 0)},
        posture="stands",
    ),
    "point_left": Archetype(
        ("A person points forward with the left hand.", "Someone stands and points ahead with the left arm."),
        {"left_shoulder": (0, -82, 0), "right_shoulder": (-75, 0, 0), "elbow": (0, -8, 0)},
        posture="stands",
    ),
    "think_left": Archetype(
        (
            "A person stands in thought, the left hand at the chin.",
            "Someone is thinking, the chin on the left hand.",
            "A person ponders with the left hand at the chin.",
        ),
        {
            "head": (8, 0, 0),
            "left_shoulder": (-94, -57, 46),
            "right_shoulder": (-91, -27, 74),
            "left_elbow": (0, -122, 0),
            "right_elbow": (0, -83, 0),
        },
        posture="stands",
    ),
    "phone_left": Archetype(
        ("A person holds a phone to the left ear.", "Someone is making a call with the left hand."),
        {
            "left_shoulder": (-11, -31, -61),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -145, 0),
            "right_elbow": (0, -8, 0),
        },
        posture="stands",
    ),
    "salute_left": Archetype(
        ("A person salutes with the left hand.", "Someone stands and shades the eyes with the left hand."),
        {
            "left_shoulder": (28, -26, -62),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -116, 0),
            "right_elbow": (0, -8, 0),
        },
        posture="stands",
    ),
    "look_up": Archetype(
        ("A person looks up at the sky.", "Someone stands and looks up."),
        ARMS_DOWN | {"neck": (-22, 0, 0), "head": (-24, 0, 0)},
        posture="stands",
        arms="down",
    ),
    "look_left": Archetype(
        ("A person looks to the left.", "Someone stands with the head turned to the left."),
        ARMS_DOWN | {"neck": (0, 28, 0), "head": (0, 32, 0)},
        posture="stands",
        arms="down",
    ),
    "lean_left": Archetype(
        ("A person leans to the left.", "Someone is leaning to the left side."),
        {
            "spine1": (0, 0, -14),
            "spine2": (0, 0, -12),
            "spine3": (0, 0, -10),
            "left_shoulder": (-42, -6, 0),
            "right_shoulder": (-78, 0, 0),
            "elbow": (0, -8, 0),
        },
    ),
    "twist_left": Archetype(
        ("A person twists the upper body to the left.", "Someone stands and turns the trunk to the left."),
        {
            "spine1": (0, 14, 0),
            "spine2": (0, 14, 0),
            "spine3": (0, 14, 0),
            "neck": (0, 10, 0),
            "shoulder": (-55, -30, 0),
            "elbow": (0, -60, 0),
        },
        posture="stands",
    ),
    "stretch_lean_left": Archetype(
        (
            "A person stretches the right side, the right arm overhead.",
            "Someone stands and bends to the left with the right arm up.",
        ),
        {
            "hip": (0, 0, 8),
            "spine1": (0, 0, -12),
            "spine2": (0, 0, -12),
            "spine3": (0, 0, -8),
            "right_collar": (0, 0, 15),
            "left_shoulder": (-55, 20, 90),
            "right_shoulder": (70, 0, 0),
            "left_elbow": (0, -70, 0),
        },
        posture="stands",
        arms="right_up",
    ),
    "arm_across_left": Archetype(
        ("A person pulls the left arm across the chest.", "Someone is stretching the left shoulder."),
        {
            "left_shoulder": (4, -140, -1),
            "right_shoulder": (50, -126, -103),
            "left_elbow": (0, -7, 0),
            "right_elbow": (0, -45, 0),
        },
        posture="stands",
    ),
    "tiptoes": Archetype(
        ("A person stands on tiptoe.", "Someone is rising onto the toes.", "A person lifts both heels."),
        ARMS_DOWN | {"ankle": (38, 0, 0), "foot": (-25, 0, 0)},
        posture="stands",
        arms="down",
    ),
    "bow": Archetype(
        ("A person bows forward.", "Someone is bending forward."),
        {
            "pelvis": (28, 0, 0),
            "hip": (0, -28, 0),
            "spine1": (22, 0, 0),
            "spine2": (14, 0, 0),
            "shoulder": (-75, -58, 0),
        },
        posture="bends_forward",
    ),
    "touch_toes": Archetype(
        ("A person touches the toes.", "Someone is bending down to touch the toes."),
        {
            "pelvis": (75, 0, 0),
            "hip": (0, -80, 0),
            "spine1": (22, 0, 0),
            "spine2": (18, 0, 0),
            "shoulder": (82, -87, -84),
            "elbow": (0, -7, 0),
        },
        posture="bends_forward",
    ),
    "star": Archetype(
        ("A person stands like a star.", "Someone stands with the arms and legs spread wide."),
        {"hip": (0, 0, 27), "shoulder": (32, 0, 0)},
        posture="stands",
    ),
}
