"""Named poses that stretch and warm up. Angles as in `joint_angles`."""

from unipose.training.named_poses.tables.archetype import Archetype


STRETCHES: dict[str, Archetype] = {
    "side_split": Archetype(
        (
            "A person does the side split.",
            "Someone sits on the floor with the legs spread far to both sides.",
        ),
        {
            "pelvis": (-2, 0, 0),
            "hip": (27, -91, 35),
            "knee": (2, 0, 0),
            "ankle": (28, 0, 0),
            "spine1": (6, 0, 0),
            "shoulder": (-93, -39, 59),
            "wrist": (31, 0, 28),
        },
        ground=("hips", "left_foot", "right_foot", "left_hand", "right_hand"),
    ),
    "front_split_left": Archetype(
        (
            "A person does the front split, the left leg in front.",
            "Someone sits low in a split, the left leg ahead and the other leg behind.",
        ),
        {
            "pelvis": (34, 0, 0),
            "left_hip": (0, -116, 2),
            "right_hip": (0, 28, 2),
            "left_knee": (2, 0, 0),
            "right_knee": (30, 0, 0),
            "left_ankle": (20, 0, 0),
            "right_ankle": (48, 0, 0),
            "spine1": (-8, 0, 0),
            "spine2": (-6, 0, 0),
            "neck": (-4, 0, 0),
            "shoulder": (-58, -6, 60),
            "elbow": (0, -28, 0),
        },
        ground=("left_foot", "right_knee", "left_hand", "right_hand"),
    ),
    "calf_stretch_left": Archetype(
        (
            "A person stretches the left calf.",
            "Someone leans on a wall with both hands, the left leg straight behind.",
        ),
        {
            "pelvis": (16, 0, 0),
            "left_hip": (0, 2, 1),
            "right_hip": (0, -46, 1),
            "left_knee": (-2, 0, 0),
            "right_knee": (32, 0, 0),
            "left_ankle": (-16, 0, -1),
            "right_ankle": (-2, 0, -1),
            "shoulder": (-79, -78, -4),
            "elbow": (0, -33, 0),
            "wrist": (84, 0, 78),
        },
    ),
    "triceps_stretch_left": Archetype(
        (
            "A person stretches the left triceps.",
            "Someone pulls the left elbow back beside the head with the other hand.",
        ),
        {
            "neck": (10, 0, -6),
            "left_collar": (0, 0, 16),
            "left_shoulder": (66, -8, -104),
            "right_shoulder": (-34, -135, -18),
            "left_elbow": (0, -141, 0),
            "right_elbow": (0, -75, 0),
        },
        posture="stands",
    ),
    "side_bend_left": Archetype(
        (
            "A person bends the trunk to the left.",
            "Someone bends sideways to the left, the left hand sliding down the leg.",
        ),
        {
            "hip": (0, 0, 8),
            "spine1": (2, 0, -13),
            "spine2": (0, 0, -13),
            "spine3": (0, 0, -10),
            "neck": (0, 0, -8),
            "left_shoulder": (-48, -4, 0),
            "right_shoulder": (-84, 0, 0),
            "left_elbow": (0, -4, 0),
            "right_elbow": (0, -20, 0),
        },
    ),
    "windmill_left": Archetype(
        (
            "A person touches the right foot with the left hand.",
            "Someone stands wide, bends and twists, the left hand down at the opposite foot.",
        ),
        {
            "pelvis": (66, 0, 0),
            "hip": (64, -125, -42),
            "knee": (6, 0, 0),
            "left_ankle": (36, 0, -33),
            "right_ankle": (31, 0, -32),
            "spine1": (14, -14, 0),
            "spine2": (12, -14, 0),
            "spine3": (4, -12, 0),
            "neck": (0, -16, 0),
            "left_shoulder": (-82, -114, -1),
            "right_shoulder": (6, 20, 0),
            "left_elbow": (0, -16, 0),
        },
    ),
    "standing_knee_hug_left": Archetype(
        (
            "A person hugs the left knee to the chest.",
            "Someone stands on the right leg and pulls the left knee up with both hands.",
        ),
        {
            "pelvis": (-4, 0, 0),
            "left_hip": (0, -116, 2),
            "right_hip": (0, 4, 2),
            "left_knee": (116, 0, 0),
            "left_ankle": (20, 0, 0),
            "left_shoulder": (-70, -40, 27),
            "right_shoulder": (-126, -50, 110),
            "left_elbow": (0, -32, 0),
            "right_elbow": (0, -2, 0),
        },
        posture="one_leg_right",
        ground=("right_foot",),
    ),
    "chest_stretch": Archetype(
        (
            "A person stretches the chest with the hands joined behind.",
            "Someone opens the chest, both straight arms pulled back and up behind the body.",
        ),
        {
            "spine2": (-6, 0, 0),
            "spine3": (-6, 0, 0),
            "neck": (-8, 0, 0),
            "collar": (0, 12, 0),
            "shoulder": (-31, 61, 98),
            "elbow": (0, -65, 0),
        },
        posture="stands",
        arms="behind_back",
    ),
    "side_leg_raise_left": Archetype(
        (
            "A person lifts the left leg to the side.",
            "Someone stands on the right leg and raises the straight left leg sideways.",
        ),
        {
            "pelvis": (0, 0, 6),
            "left_hip": (0, 0, 44),
            "right_hip": (0, 0, 2),
            "left_knee": (2, 0, 0),
            "right_ankle": (0, 0, 4),
            "spine1": (0, 0, 6),
            "shoulder": (-50, 15, 90),
            "elbow": (0, -70, 0),
        },
        arms="on_hips",
        ground=("right_foot",),
    ),
    "leg_swing_back_left": Archetype(
        (
            "A person lifts the left leg back.",
            "Someone stands on the right leg and raises the straight left leg behind.",
        ),
        {
            "pelvis": (28, 0, 0),
            "left_hip": (0, 22, 2),
            "right_hip": (0, -28, 0),
            "left_knee": (4, 0, 0),
            "left_ankle": (26, 0, 0),
            "spine1": (2, 0, 0),
            "shoulder": (-50, 15, 90),
            "elbow": (0, -70, 0),
        },
        arms="on_hips",
        ground=("right_foot",),
    ),
}
