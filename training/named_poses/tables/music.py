"""Named poses of people who make music. Angles as in `joint_angles`."""

from unipose.training.named_poses.tables.archetype import Archetype


MUSIC: dict[str, Archetype] = {
    "play_guitar_left": Archetype(
        (
            "A person plays the guitar, the left hand on the neck of the guitar.",
            "A guitarist stands and plays, the left hand out to the side on the strings.",
        ),
        {
            "hip": (0, 0, 5),
            "neck": (10, 14, 0),
            "head": (10, 14, 0),
            "left_shoulder": (-56, -2, -39),
            "right_shoulder": (-50, -12, 54),
            "left_elbow": (0, -72, 0),
            "right_elbow": (0, -89, 0),
            "left_wrist": (-88, 0, -68),
            "right_wrist": (-18, 0, -30),
        },
        posture="stands",
    ),
    "play_violin_left": Archetype(
        (
            "A person plays the violin under the chin on the left.",
            "A violinist holds the violin on the left shoulder and moves the bow with the other hand.",
        ),
        {
            "neck": (8, 24, -4),
            "head": (10, 20, -6),
            "left_shoulder": (-59, -35, -36),
            "right_shoulder": (-28, -55, 16),
            "left_elbow": (0, -78, 0),
            "right_elbow": (0, -98, 0),
            "left_wrist": (-88, 0, -46),
            "right_wrist": (4, 0, -14),
        },
        posture="stands",
    ),
    "play_piano": Archetype(
        (
            "A person plays the piano.",
            "A pianist sits with both hands on the keys.",
        ),
        {
            "pelvis": (4, 0, 0),
            "hip": (2, -92, 4),
            "knee": (88, 0, 0),
            "spine1": (6, 0, 0),
            "spine2": (4, 0, 0),
            "neck": (10, 0, 0),
            "head": (8, 0, 0),
            "shoulder": (-61, -21, 6),
            "elbow": (0, -79, 0),
            "wrist": (61, 0, 9),
        },
        posture="sits",
    ),
    "play_drums_left": Archetype(
        (
            "A person plays the drums, the left stick raised.",
            "A drummer sits and lifts the left hand high for the next beat.",
        ),
        {
            "hip": (10, -86, 14),
            "knee": (88, 0, 0),
            "spine1": (6, 0, 0),
            "neck": (8, 0, 0),
            "left_shoulder": (1, -33, -78),
            "right_shoulder": (-53, -37, 28),
            "left_elbow": (0, -98, 0),
            "right_elbow": (0, -76, 0),
            "left_wrist": (21, 0, -22),
            "right_wrist": (44, 0, 5),
        },
        posture="sits",
    ),
    "play_flute_left": Archetype(
        (
            "A person plays the flute held out to the left.",
            "A flutist holds the flute to the lips, its end out to the left.",
        ),
        {
            "neck": (4, -10, -4),
            "head": (4, -8, -6),
            "left_shoulder": (-60, -12, -21),
            "right_shoulder": (-43, -71, 23),
            "left_elbow": (0, -109, 0),
            "right_elbow": (0, -102, 0),
            "left_wrist": (56, 0, 26),
            "right_wrist": (-71, 0, -18),
        },
        posture="stands",
    ),
    "sing_left": Archetype(
        (
            "A person sings into a microphone in the left hand.",
            "A singer holds the microphone with the left hand and opens the other arm.",
        ),
        {
            "hip": (0, 0, 6),
            "neck": (-6, 0, 0),
            "head": (-8, 0, 0),
            "left_shoulder": (-22, -60, -11),
            "right_shoulder": (-28, -28, -20),
            "left_elbow": (0, -121, 0),
            "right_elbow": (0, -30, 0),
            "left_wrist": (-24, 0, 25),
            "right_wrist": (-88, 0, 4),
        },
        posture="stands",
    ),
    "conduct_orchestra_left": Archetype(
        (
            "A person conducts an orchestra, the left hand high.",
            "A conductor leads the music with the left arm raised.",
        ),
        {
            "head": (-8, 0, 0),
            "left_shoulder": (23, -40, -70),
            "right_shoulder": (-41, -37, -23),
            "left_elbow": (0, -53, 0),
            "right_elbow": (0, -81, 0),
            "left_wrist": (25, 0, 8),
            "right_wrist": (49, 0, -41),
        },
        posture="stands",
    ),
}
