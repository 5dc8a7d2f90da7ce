"""The words for super codes: postures of the whole body, and poses of arms, legs and the ground together.

Templates are written as in `posecode_phrases`.
"""

# Postures of the whole body: after "A person", and after "Someone is".
POSTURES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "lies_back": (
        ("lies on the back", "lies face up", "is stretched out on the back", "reclines face up"),
        ("lying face up", "lying on the back", "resting on the back"),
    ),
    "lies_front": (
        ("lies on the stomach", "lies face down", "is stretched out on the stomach"),
        ("lying face down", "lying on the stomach", "lying on the belly"),
    ),
    "lies_left": (("lies on the left side", "rests on the left side"), ("lying on the left side",)),
    "handstand": (("does a handstand", "stands on the hands"), ("doing a handstand", "in a handstand")),
    "all_fours": (
        ("is on all fours", "crawls on all fours", "kneels on all fours"),
        ("on hands and knees", "on all fours", "crawling on all fours"),
    ),
    "plank": (("is in a plank", "does a push-up"), ("in a plank position", "holding a plank", "doing a push-up")),
    "bridge": (("is in a bridge", "arches into a bridge"), ("doing a bridge", "in a backbend on hands and feet")),
    "sits_cross_legged": (
        ("sits cross-legged", "sits with crossed legs"),
        ("sitting cross-legged", "sitting on the ground with crossed legs"),
    ),
    "sits_ground": (
        ("sits on the ground", "sits on the floor", "is seated on the ground"),
        ("sitting on the ground", "sitting on the floor", "seated on the floor"),
    ),
    "sits_heels": (
        ("sits on the heels", "kneels and sits on the heels"),
        ("sitting on the heels", "kneeling and sitting on the heels"),
    ),
    "kneels_both": (
        ("kneels on both knees", "is down on both knees"),
        ("kneeling on both knees", "kneeling upright on both knees"),
    ),
    "kneels_left": (
        ("kneels on the left knee", "is down on the left knee"),
        ("kneeling on the left knee", "resting on the left knee"),
    ),
    "sits": (
        ("sits", "sits as on a chair", "is seated", "takes a seat", "perches as on a stool"),
        ("sitting", "sitting as on a chair", "seated"),
    ),
    "squats": (
        ("squats", "is in a squat", "squats down", "hunkers down in a squat", "sinks into a squat"),
        ("squatting", "in a squat", "squatting down"),
    ),
    "lunges_left": (
        ("lunges with the left leg in front", "takes a lunge on the left leg", "lunges onto the left leg"),
        ("in a lunge with the left leg in front", "lunging with the left leg in front", "lunging onto the left leg"),
    ),
    "side_lunges_left": (
        ("lunges sideways onto the left leg", "lunges to the left side"),
        ("lunging sideways onto the left leg", "in a side lunge to the left"),
    ),
    "kicks_left": (
        ("kicks with the left leg", "kicks out with the left leg", "swings the left leg up in a kick"),
        ("kicking with the left leg", "doing a kick with the left leg"),
    ),
    "one_leg_right": (
        ("stands on the right leg", "balances on the right leg", "stands only on the right leg"),
        ("standing on the right leg", "balancing on the right leg"),
    ),
    "bends_forward": (
        ("bends forward", "bends over", "stoops forward", "hinges forward at the hips"),
        ("bending forward", "bent over", "bending over from the hips"),
    ),
    "steps_left": (
        (
            "steps forward with the left foot",
            "strides with the left foot in front",
            "walks with the left foot in front",
            "marches with the left foot leading",
        ),
        ("stepping forward with the left foot", "walking with the left foot in front"),
    ),
    "crouches": (
        (
            "crouches",
            "stands with bent knees",
            "crouches down a little",
            "stands with flexed knees",
            "dips at the knees",
        ),
        ("standing with bent knees", "crouching", "in a slight crouch"),
    ),
    "stoops": (
        ("stoops with bent knees", "bends low over bent legs"),
        ("stooping with bent knees", "bent low over flexed legs"),
    ),
    "balances_right": (
        ("stands on the bent right leg", "stands on the right foot with the left foot lifted"),
        ("balancing on the bent right leg", "running or hopping on the right foot"),
    ),
    "tips_right": (
        ("balances on the right leg with the upper body low", "tips over on the right leg with the left foot lifted"),
        (
            "balancing on the right leg with the upper body low",
            "tipping over on the right leg with the left foot lifted",
        ),
    ),
    "staggered_left": (
        ("stands in a staggered stance with the left foot leading", "stands with the left foot well ahead"),
        ("in a staggered stance with the left foot leading", "standing with the left foot well ahead"),
    ),
    "one_bent_left": (
        ("stands with only the left knee bent", "stands with a bent left leg and an almost straight right leg"),
        ("standing with only the left knee bent", "standing with a bent left leg and an almost straight right leg"),
    ),
    "low": (
        ("stands low on bent legs", "has both legs bent underneath the body"),
        ("low on bent legs", "standing low with both legs bent"),
    ),
    "stands": (("stands", "stands on both legs", "is upright on both feet"), ("standing", "in a standing position")),
}

# Arms, legs and ground contact: subject, and its phrases.
SUPER_PHRASES: dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("arms", "overhead"): (
        ("both_arm",),
        ("raised overhead", "[lifted|stretched|held up] above the head", "up in the air", "~reach [up|upwards]"),
    ),
    ("arms", "on_head"): (("both_hand",), ("on the head", "[resting|placed] on the head", "held to the head")),
    ("arms", "goalpost"): (
        ("both_arm",),
        ("raised to the sides with the forearms up", "held up like goalposts", "raised as in surrender"),
    ),
    ("arms", "left_up"): (
        ("left_arm",),
        ("raised", "[raised|lifted|held] [up high|high]", "up in the air", "~reaches [up|upwards]"),
    ),
    ("arms", "t_pose"): (
        ("both_arm",),
        ("stretched out to the sides", "[spread|extended|held out] to both sides", "spread like wings"),
    ),
    ("arms", "forward"): (
        ("both_arm",),
        ("stretched forward", "[extended|held out] [forward|straight ahead]", "~reach [forward|ahead]"),
    ),
    ("arms", "on_hips"): (("both_hand",), ("on the hips", "[resting|placed|propped] on the hips")),
    ("arms", "crossed"): (("both_arm",), ("crossed", "[crossed|folded] [over|in front of] the chest")),
    ("arms", "behind_back"): (
        ("both_hand",),
        ("[joined|held together|clasped] behind the back", "together behind the back"),
    ),
    ("arms", "clasped"): (
        ("both_hand",),
        ("[joined|held together|clasped] in front of the body", "together in front of the body"),
    ),
    ("arms", "guard"): (
        ("both_hand",),
        ("[raised|up] in a guard", "[raised|held up] like a boxer's", "up in front of the [chest|face] to fight"),
    ),
    ("arms", "on_knees"): (("both_hand",), ("on the knees", "[resting|placed] on the knees")),
    ("arms", "swept_back"): (
        ("both_arm",),
        ("[stretched|swept|extended] backwards", "swept back", "~reach [back|backwards]"),
    ),
    ("arms", "low_wings"): (
        ("both_arm",),
        ("[spread|held out] low to the sides", "held slightly away from the body"),
    ),
    ("arms", "left_on_hip"): (("left_hand",), ("on the hip", "[resting|placed|propped] on the hip")),
    ("arms", "left_out"): (
        ("left_arm",),
        ("stretched out to the side", "[extended|held out] to the side", "~reaches out to the side"),
    ),
    ("arms", "left_forward"): (
        ("left_arm",),
        ("stretched forward", "[extended|held out] [forward|straight ahead]", "~reaches [forward|ahead]"),
    ),
    ("arms", "down"): (
        ("both_arm",),
        ("hanging down", "[hanging|relaxed] at the sides", "down at the sides", "~hang [down|loosely|at the sides]"),
    ),
    ("leg", "raised_front"): (
        ("left_leg",),
        ("[stretched|extended|raised] [out in front|to the front]", "[lifted|held up] in front"),
    ),
    ("leg", "raised_back"): (
        ("left_leg",),
        ("[stretched|extended|raised] [out behind|to the back]", "lifted behind the body"),
    ),
    ("leg", "raised_side"): (
        ("left_leg",),
        ("[stretched|extended|raised|lifted] [out to the side|sideways]",),
    ),
    ("leg", "heel_up"): (
        ("left_leg",),
        ("folded back with the heel up", "bent back at the knee", "pulled up behind with a bent knee"),
    ),
    ("leg", "knee_up"): (
        ("left_leg",),
        ("raised with a bent knee", "drawn up with a bent knee", "pulled up at the knee"),
    ),
    ("legs", "crossed"): (("both_leg",), ("crossed", "crossed at the ankles", "[crossing|crossed over] each other")),
    ("legs", "spread"): (("both_leg",), ("spread", "[spread|stretched] wide", "wide apart", "in a straddle")),
    ("legs", "together"): (("both_leg",), ("close together", "[held|pressed] together", "side by side")),
    ("support", "hands_feet"): (
        ("body",),
        ("supported by hands and feet", "carried by hands and feet", "~rests on hands and feet"),
    ),
    ("support", "left_hand"): (
        ("body",),
        ("propped on the left hand", "supported by the left hand", "~leans on the left hand"),
    ),
}
