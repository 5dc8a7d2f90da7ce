"""Named poses of the head, and of hands that touch it. Angles as in `joint_angles`."""

from unipose.training.named_poses.tables.archetype import Archetype


HEAD: dict[str, Archetype] = {
    "facepalm_left": Archetype(
        (
            "A person does a facepalm with the left hand.",
            "Someone buries the face in the left hand.",
            "A person hits the forehead with the left hand.",
        ),
        {
            "neck": (10, 0, 0),
            "head": (20, 0, 0),
            "left_shoulder": (-94, -65, 37),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -119, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-69, 0, 4),
        },
        posture="stands",
    ),
    "cover_eyes": Archetype(
        (
            "A person covers the eyes with both hands.",
            "Someone hides the face behind the hands.",
        ),
        {
            "neck": (6, 0, 0),
            "head": (8, 0, 0),
            "shoulder": (-79, -69, 18),
            "elbow": (0, -124, 0),
            "wrist": (-80, 0, 14),
        },
        posture="stands",
    ),
    "cover_ears": Archetype(
        (
            "A person covers the ears with both hands.",
            "Someone presses the hands over the ears.",
        ),
        {"head": (6, 0, 0), "shoulder": (-43, -89, -27), "elbow": (0, -138, 0), "wrist": (7, 0, 16)},
        posture="stands",
    ),
    "cover_mouth": Archetype(
        (
            "A person covers the mouth with both hands.",
            "Someone gasps with both hands over the mouth.",
        ),
        {
            "left_shoulder": (-78, -62, 26),
            "right_shoulder": (-76, -62, 26),
            "left_elbow": (0, -127, 0),
            "right_elbow": (0, -129, 0),
            "left_wrist": (-67, 0, 7),
            "right_wrist": (-67, 0, 27),
        },
        posture="stands",
    ),
    "listen_left": Archetype(
        (
            "A person listens with the left hand behind the ear.",
            "Someone cups the left ear to hear better.",
        ),
        {
            "spine1": (4, 0, -6),
            "spine2": (4, 0, -7),
            "neck": (0, -20, -6),
            "head": (0, -20, -6),
            "left_shoulder": (15, -11, -55),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -142, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-2, 0, 46),
        },
        posture="stands",
    ),
    "shout": Archetype(
        (
            "A person shouts with both hands around the mouth.",
            "Someone is calling out loud, the hands cupped at the mouth.",
        ),
        {
            "spine2": (5, 0, 0),
            "head": (-8, 0, 0),
            "shoulder": (-22, -62, -16),
            "elbow": (0, -131, 0),
            "wrist": (-27, 0, 54),
        },
        posture="stands",
    ),
    "blow_kiss_left": Archetype(
        (
            "A person blows a kiss with the left hand.",
            "Someone sends a kiss from the left hand.",
        ),
        {
            "spine2": (4, 0, 0),
            "head": (6, 0, 4),
            "left_shoulder": (-105, -47, 42),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -133, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-82, 0, 78),
        },
        posture="stands",
    ),
    "quiet_left": Archetype(
        (
            "A person asks for silence, the left hand at the lips.",
            "Someone puts a finger of the left hand on the lips.",
        ),
        {
            "left_shoulder": (-66, -51, 26),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -132, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (1, 0, 24),
        },
        posture="stands",
    ),
    "scratch_head_left": Archetype(
        (
            "A person scratches the head with the left hand.",
            "Someone is puzzled and scratches the head on the left.",
        ),
        {
            "neck": (4, 0, 5),
            "head": (6, 0, 6),
            "left_shoulder": (28, -17, -99),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -126, 0),
            "right_elbow": (0, -8, 0),
        },
        posture="stands",
    ),
    "hand_behind_head_left": Archetype(
        (
            "A person puts the left hand behind the head.",
            "Someone holds the back of the head with the left hand.",
        ),
        {
            "left_shoulder": (45, 6, -103),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -128, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-13, 0, 26),
        },
        posture="stands",
    ),
    "hands_behind_head": Archetype(
        (
            "A person puts both hands behind the head.",
            "Someone stands with the hands behind the head and the elbows out.",
        ),
        {
            "left_shoulder": (39, 26, -104),
            "right_shoulder": (38, 21, -104),
            "left_elbow": (0, -122, 0),
            "right_elbow": (0, -129, 0),
        },
        posture="stands",
    ),
    "look_down": Archetype(
        (
            "A person looks down.",
            "Someone stands with the head lowered.",
            "A person looks at the floor.",
        ),
        {"neck": (24, 0, 0), "head": (24, 0, 0), "shoulder": (-75, 0, 0), "elbow": (0, -8, 0)},
        posture="stands",
        arms="down",
    ),
    "look_over_shoulder_left": Archetype(
        (
            "A person looks back over the left shoulder.",
            "Someone turns around to look behind on the left.",
        ),
        {
            "spine1": (0, 12, 0),
            "spine2": (0, 14, 0),
            "spine3": (0, 12, 0),
            "neck": (0, 36, 0),
            "head": (0, 36, 0),
            "shoulder": (-75, 0, 0),
            "elbow": (0, -8, 0),
        },
        posture="stands",
    ),
    "head_tilt_left": Archetype(
        (
            "A person tilts the head to the left.",
            "Someone stands with the left ear near the shoulder.",
        ),
        {"neck": (0, 0, -19), "head": (0, 0, -19), "shoulder": (-75, 0, 0), "elbow": (0, -8, 0)},
        posture="stands",
        arms="down",
    ),
    "headache": Archetype(
        (
            "A person has a headache and holds the head.",
            "Someone holds the bowed head with both hands.",
        ),
        {
            "spine2": (6, 0, 0),
            "spine3": (8, 0, 0),
            "neck": (20, 0, 0),
            "head": (16, 0, 0),
            "shoulder": (-9, -58, -60),
            "elbow": (0, -129, 0),
        },
        posture="stands",
    ),
    "shocked": Archetype(
        (
            "A shocked person holds the cheeks with both hands.",
            "Someone is shocked, both hands at the cheeks.",
        ),
        {
            "head": (-6, 0, 0),
            "left_shoulder": (-49, -60, -10),
            "right_shoulder": (-48, -60, -10),
            "elbow": (0, -140, 0),
            "wrist": (-16, 0, 19),
        },
        posture="stands",
    ),
    "toothache_left": Archetype(
        (
            "A person has a toothache and holds the left cheek.",
            "Someone leans the head into the left hand at the cheek.",
        ),
        {
            "neck": (8, 0, -14),
            "head": (8, 0, -16),
            "left_shoulder": (-58, -40, 19),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -149, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-1, 0, 29),
        },
        posture="stands",
    ),
    "sneeze_left": Archetype(
        (
            "A person sneezes into the left elbow.",
            "Someone coughs into the crook of the left arm.",
        ),
        {
            "spine2": (8, 0, 0),
            "neck": (20, 10, 0),
            "head": (16, 8, 0),
            "left_shoulder": (-31, -113, 21),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -88, 0),
            "right_elbow": (0, -8, 0),
        },
        posture="stands",
    ),
    "yawn_left": Archetype(
        (
            "A person yawns with the left hand at the mouth.",
            "Someone is tired, the left hand over the mouth and the other arm stretched up.",
        ),
        {
            "spine2": (-5, 0, 0),
            "neck": (-10, 0, 0),
            "head": (-12, 0, 0),
            "right_collar": (0, 0, 14),
            "left_shoulder": (-11, -74, -37),
            "right_shoulder": (52, 4, -60),
            "left_elbow": (0, -121, 0),
            "right_elbow": (0, -60, 0),
            "left_wrist": (-88, 0, 11),
        },
        posture="stands",
    ),
}
