"""Named poses of someone who says something with the arms. Angles as in `joint_angles`."""

from unipose.training.named_poses.tables.archetype import Archetype


GESTURES: dict[str, Archetype] = {
    "clap": Archetype(
        (
            "A person claps the hands.",
            "Someone stands and claps both hands in front of the chest.",
            "A person is clapping.",
        ),
        {
            "shoulder": (-77, -32, 39),
            "left_elbow": (0, -93, 0),
            "right_elbow": (0, -92, 0),
            "left_wrist": (9, 0, 42),
            "right_wrist": (-9, 0, 38),
        },
        posture="stands",
    ),
    "thumbs_up_left": Archetype(
        (
            "A person gives a thumbs up with the left hand.",
            "Someone stands and holds out the left fist with the thumb up.",
        ),
        {
            "left_shoulder": (-73, -36, -4),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -58, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-14, 0, -7),
        },
        posture="stands",
    ),
    "stop_hand_left": Archetype(
        (
            "A person holds up the left hand to say stop.",
            "Someone makes a stop sign with the left hand.",
        ),
        {
            "left_shoulder": (-35, -73, 2),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -22, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (36, 0, 78),
        },
        posture="stands",
    ),
    "stop_both": Archetype(
        (
            "A person holds both hands out to say stop.",
            "Someone stands with both palms pushed forward.",
            "A person stops somebody with both hands.",
        ),
        {"shoulder": (-38, -70, 2), "elbow": (0, -22, 0), "wrist": (38, 0, 78)},
        posture="stands",
    ),
    "hand_on_heart_left": Archetype(
        (
            "A person puts the left hand on the heart.",
            "Someone stands with the left hand on the chest.",
        ),
        {
            "left_shoulder": (-57, -16, 42),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -132, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-47, 0, -19),
        },
        posture="stands",
    ),
    "flex_biceps": Archetype(
        (
            "A person flexes both biceps.",
            "Someone shows off the muscles of both arms.",
            "A bodybuilder flexes the arms.",
        ),
        {"collar": (0, 0, 4), "shoulder": (8, 0, -95), "elbow": (0, -108, 0), "wrist": (0, 0, -35)},
        posture="stands",
    ),
    "wave_both": Archetype(
        (
            "A person waves with both hands.",
            "Someone is waving both arms over the head.",
        ),
        {"collar": (0, 0, 14), "shoulder": (42, 0, -60), "elbow": (0, -32, 0), "wrist": (-26, 0, 15)},
        posture="stands",
    ),
    "direct_traffic_left": Archetype(
        (
            "A person directs traffic, the left arm stretched out to the side.",
            "A police officer points to the side with the left arm and holds up the other hand.",
        ),
        {
            "right_shoulder": (-28, -60, -10),
            "right_elbow": (0, -40, 0),
            "left_wrist": (-87, 0, 0),
            "right_wrist": (38, 0, 78),
        },
        posture="stands",
    ),
    "point_up_left": Archetype(
        (
            "A person points up at the sky with the left hand.",
            "Someone looks up and points upwards with the left arm.",
        ),
        {
            "neck": (-14, 0, 0),
            "head": (-18, 0, 0),
            "left_collar": (0, 0, 14),
            "left_shoulder": (40, -41, -103),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -45, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-56, 0, 12),
        },
        posture="stands",
    ),
    "point_side_left": Archetype(
        (
            "A person points to the left.",
            "Someone points sideways with the left arm and looks there.",
        ),
        {
            "neck": (0, 28, 0),
            "head": (0, 32, 0),
            "left_shoulder": (2, 0, 0),
            "right_shoulder": (-75, 0, 0),
            "right_elbow": (0, -8, 0),
        },
        posture="stands",
    ),
    "point_down_left": Archetype(
        (
            "A person points down at the ground with the left hand.",
            "Someone looks down and points at the floor with the left arm.",
        ),
        {
            "spine2": (6, 0, 0),
            "neck": (18, 6, 0),
            "head": (18, 8, 0),
            "left_shoulder": (-66, -38, 34),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -24, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (30, 0, -9),
        },
        posture="stands",
    ),
    "beckon_left": Archetype(
        (
            "A person beckons with the left hand.",
            "Someone says come here with the left hand.",
        ),
        {
            "left_shoulder": (-72, -41, -14),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -73, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-88, 0, -59),
        },
        posture="stands",
    ),
    "surrender": Archetype(
        (
            "A person surrenders with the hands up beside the head.",
            "Someone holds both hands up at head height.",
            "A person gives up, both hands raised.",
        ),
        {"collar": (0, 0, 4), "shoulder": (-29, -32, -80), "elbow": (0, -114, 0), "wrist": (33, 0, -5)},
        posture="stands",
    ),
    "victory_v_arms": Archetype(
        (
            "A person raises both arms in a V.",
            "Someone has won and throws both arms up wide.",
        ),
        {
            "hip": (0, 0, 8),
            "neck": (-8, 0, 0),
            "head": (-8, 0, 0),
            "collar": (0, 0, 14),
            "shoulder": (46, -8, 0),
            "elbow": (0, -6, 0),
        },
        posture="stands",
    ),
    "cheer": Archetype(
        (
            "A person cheers with both fists up.",
            "Someone celebrates with raised fists.",
            "A happy fan cheers with both arms up.",
        ),
        {
            "hip": (0, 0, 7),
            "neck": (-10, 0, 0),
            "head": (-6, 0, 0),
            "collar": (0, 0, 14),
            "shoulder": (42, -14, -70),
            "elbow": (0, -58, 0),
        },
        posture="stands",
    ),
    "fist_pump_left": Archetype(
        (
            "A person pumps the left fist.",
            "Someone celebrates with the left fist pulled up and the knees bent.",
        ),
        {
            "pelvis": (8, 0, 0),
            "hip": (0, -34, 8),
            "knee": (44, 0, 0),
            "ankle": (-18, 0, -7),
            "spine1": (8, 0, 0),
            "neck": (-10, 0, 0),
            "left_shoulder": (-46, -45, -46),
            "right_shoulder": (-68, 5, 0),
            "left_elbow": (0, -120, 0),
            "right_elbow": (0, -35, 0),
        },
    ),
    "airplane_left": Archetype(
        (
            "A person plays airplane and leans to the left.",
            "Someone spreads the arms like wings, the left one low.",
        ),
        {
            "hip": (0, 0, 8),
            "spine1": (8, 0, -12),
            "spine2": (6, 0, -12),
            "spine3": (4, 0, -8),
            "neck": (0, 0, -4),
            "shoulder": (2, 0, 0),
        },
    ),
    "zombie": Archetype(
        (
            "A person acts like a zombie.",
            "Someone stretches the arms ahead like a sleepwalker.",
            "A zombie holds out both arms.",
        ),
        {
            "hip": (0, 0, 4),
            "spine2": (6, 0, 0),
            "neck": (4, 0, 14),
            "head": (4, 0, 14),
            "shoulder": (0, -84, 0),
            "elbow": (0, -6, 0),
            "wrist": (0, 0, -60),
        },
        posture="stands",
        arms="forward",
    ),
    "superhero": Archetype(
        (
            "A superhero stands with the fists on the hips.",
            "Someone stands like a superhero, the feet wide apart.",
            "A person holds a power pose, hands on the hips and legs apart.",
        ),
        {
            "hip": (6, 0, 17),
            "ankle": (0, 8, 0),
            "spine2": (-6, 0, 0),
            "neck": (-4, 0, 0),
            "shoulder": (-34, 28, 68),
            "elbow": (0, -101, 0),
        },
        posture="stands",
        arms="on_hips",
    ),
    "superman_left": Archetype(
        (
            "A superhero takes off, the left fist ahead.",
            "Someone stands like a flying superhero with the left arm up ahead and the other fist on the hip.",
        ),
        {
            "hip": (0, 0, 6),
            "spine2": (-4, 0, 0),
            "neck": (-14, 0, 0),
            "head": (-8, 0, 0),
            "left_collar": (0, 0, 14),
            "left_shoulder": (-108, -126, 5),
            "right_shoulder": (-33, 27, 69),
            "left_elbow": (0, -11, 0),
            "right_elbow": (0, -102, 0),
        },
        posture="stands",
    ),
    "hands_in_pockets": Archetype(
        (
            "A person stands with the hands in the pockets.",
            "Someone waits with both hands in the pockets.",
        ),
        {"head": (4, 0, 0), "shoulder": (-62, 18, 56), "elbow": (0, -66, 0), "wrist": (-50, 0, 23)},
        posture="stands",
    ),
    "tightrope_left": Archetype(
        (
            "A person walks a tightrope, the left foot in front.",
            "Someone balances on a line with the arms out, the left foot ahead.",
        ),
        {
            "left_hip": (-2, -19, -7),
            "right_hip": (1, 18, -7),
            "left_knee": (13, 0, 0),
            "right_knee": (12, 0, 0),
            "left_ankle": (6, 0, 7),
            "head": (10, 0, 0),
            "shoulder": (4, 0, 0),
        },
        posture="steps_left",
        arms="t_pose",
    ),
    "shy_hands_front": Archetype(
        (
            "A person stands shyly with the hands clasped low in front.",
            "Someone is shy, the head down and the hands joined in front.",
        ),
        {
            "hip": (-6, 0, -1),
            "spine3": (6, 0, 0),
            "neck": (14, 0, 0),
            "head": (14, 0, 6),
            "collar": (0, 0, 4),
            "shoulder": (-100, -21, 74),
            "elbow": (0, -15, 0),
            "wrist": (30, 0, -6),
        },
        posture="stands",
    ),
    "handshake_left": Archetype(
        (
            "A person offers the left hand for a handshake.",
            "Someone reaches out the left hand to shake hands.",
        ),
        {
            "spine2": (5, 0, 0),
            "left_shoulder": (-73, -29, 19),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -74, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-23, 0, 17),
        },
        posture="stands",
    ),
    "high_five_left": Archetype(
        (
            "A person gives a high five with the left hand.",
            "Someone holds the left palm up for a high five.",
        ),
        {
            "left_collar": (0, 0, 8),
            "left_shoulder": (17, -63, -102),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -62, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (61, 0, 16),
        },
        posture="stands",
    ),
    "welcome": Archetype(
        (
            "A person opens the arms to welcome somebody.",
            "Someone stands with open arms.",
            "A person is about to hug somebody.",
        ),
        {"shoulder": (-22, -42, -40), "elbow": (0, -28, 0), "wrist": (-60, 0, 21)},
        posture="stands",
    ),
    "offer_hands": Archetype(
        (
            "A person holds out both hands with the palms up.",
            "Someone begs with both hands held out.",
        ),
        {"head": (4, 0, 0), "shoulder": (-72, -24, 24), "elbow": (0, -80, 0), "wrist": (-88, 0, 8)},
        posture="stands",
    ),
    "hand_on_hip_left": Archetype(
        (
            "A person puts the left hand on the hip.",
            "Someone stands with the left hand on the hip.",
        ),
        {
            "left_shoulder": (-31, -27, 103),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -101, 0),
            "right_elbow": (0, -8, 0),
        },
        posture="stands",
        arms="left_on_hip",
    ),
    "present_left": Archetype(
        (
            "A person presents something on the left with an open hand.",
            "Someone shows the way to the left with the palm up.",
        ),
        {
            "spine2": (0, 8, 0),
            "neck": (0, 18, 0),
            "head": (0, 20, 0),
            "left_shoulder": (-18, -8, -5),
            "right_shoulder": (-75, 0, 0),
            "left_elbow": (0, -51, 0),
            "right_elbow": (0, -8, 0),
            "left_wrist": (-88, 0, -8),
        },
        posture="stands",
    ),
}
