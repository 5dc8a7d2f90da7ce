"""Named poses of weight training. Angles as in `joint_angles`."""

from unipose.training.named_poses.tables.archetype import Archetype


LIFTING: dict[str, Archetype] = {
    "deadlift_low": Archetype(
        (
            "A person starts a deadlift.",
            "Someone bends at the hips with a flat back and grips a barbell at the shins.",
        ),
        {
            "pelvis": (48, 0, 0),
            "hip": (4, -104, 8),
            "knee": (68, 0, 0),
            "ankle": (-11, 0, -7),
            "spine1": (4, 0, 0),
            "neck": (-14, 0, 0),
            "left_shoulder": (-67, -57, 2),
            "right_shoulder": (-67, -57, 3),
            "wrist": (69, 0, 1),
        },
    ),
    "barbell_overhead": Archetype(
        (
            "A person lifts a barbell over the head.",
            "A weightlifter holds the bar overhead with straight arms, the feet apart.",
        ),
        {"hip": (4, 0, 12), "collar": (0, 0, 16), "shoulder": (54, 0, 0), "elbow": (0, -3, 0), "wrist": (-88, 0, 11)},
        posture="stands",
        arms="overhead",
    ),
    "back_squat": Archetype(
        (
            "A person squats with a barbell on the back.",
            "Someone does a squat, both hands at the bar behind the neck.",
        ),
        {
            "pelvis": (24, 0, 0),
            "hip": (16, -112, 16),
            "knee": (110, 0, 0),
            "ankle": (-19, 0, -6),
            "spine1": (6, 0, 0),
            "neck": (-10, 0, 0),
            "shoulder": (-56, 25, -69),
            "elbow": (0, -144, 0),
            "wrist": (-5, 0, 78),
        },
        posture="squats",
    ),
    "biceps_curl_left": Archetype(
        (
            "A person does a biceps curl with the left arm.",
            "Someone lifts a dumbbell to the left shoulder.",
        ),
        {
            "left_shoulder": (-77, 0, -12),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -151, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-88, 0, 36),
        },
        posture="stands",
    ),
    "biceps_curl_both": Archetype(
        (
            "A person does biceps curls with both arms.",
            "Someone lifts two dumbbells to the shoulders.",
        ),
        {"shoulder": (-76, -2, -9), "elbow": (0, -116, 0), "wrist": (-88, 0, -51)},
        posture="stands",
    ),
    "shoulder_press": Archetype(
        (
            "A person presses two dumbbells up from the shoulders.",
            "Someone holds two dumbbells beside the ears with bent elbows.",
        ),
        {"hip": (0, 0, 4), "shoulder": (-24, -12, -90), "elbow": (0, -132, 0), "wrist": (9, 0, -8)},
        posture="stands",
    ),
    "bent_row": Archetype(
        (
            "A person rows a barbell to the belly, bent forward.",
            "Someone bends at the hips and pulls both elbows up behind.",
        ),
        {
            "pelvis": (52, 0, 0),
            "hip": (2, -76, 5),
            "knee": (34, 0, 0),
            "ankle": (-10, 0, -6),
            "neck": (-10, 0, 0),
            "shoulder": (-70, 16, 20),
            "elbow": (0, -113, 0),
        },
        posture="bends_forward",
    ),
    "bench_press": Archetype(
        (
            "A person does a bench press.",
            "Someone lies on the back with bent knees and pushes a bar straight up.",
        ),
        {
            "pelvis": (-90, 0, 0),
            "hip": (-4, -52, 8),
            "knee": (108, 0, 0),
            "ankle": (34, -3, 0),
            "shoulder": (0, -86, 0),
            "elbow": (0, -4, 0),
            "wrist": (85, 0, 78),
        },
        posture="lies_back",
        ground=("left_foot", "right_foot", "hips", "back"),
    ),
}
