"""The words for posecodes, in tables that both `describe` and `read_caption` use.

A phrase is a template: "[near|close to] the hip" has two wordings, "<points|point> up" one for a single part and one
for both. `{other}` is the other side's name. A phrase that starts with "~" is a finite verb ("~points up"); every
other follows "is" or "are", and also "with the left arm ...". Words for a right side are those for the left side,
mirrored. Two codes must not share a phrase for one subject; no phrase starts like a new clause ("the", "both").
"""

# The names of the parts, one and both; of a part that does not come in two, whether its name is plural. All names of
# such a part have the same number, which its verbs follow.
NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "knee": (("knee", "knees"),),
    "elbow": (("elbow", "elbows"),),
    "hand": (("hand", "hands"),),
    "foot": (("foot", "feet"),),
    "leg": (("leg", "legs"),),
    "arm": (("arm", "arms"),),
    "thigh": (("thigh", "thighs"), ("upper leg", "upper legs")),
    "shin": (("shin", "shins"), ("lower leg", "lower legs")),
    "upper_arm": (("upper arm", "upper arms"),),
    "forearm": (("forearm", "forearms"), ("lower arm", "lower arms")),
}
WHOLE_NOUNS: dict[str, tuple[tuple[str, bool], ...]] = {
    "torso": (("torso", False), ("trunk", False), ("upper body", False)),
    "head": (("head", False),),
    "face": (("face", False), ("gaze", False)),
    "chin": (("chin", False),),
    "hips": (("hips", True),),
    "pelvis": (("pelvis", False), ("bottom", False)),
    "body": (("body", False), ("weight of the body", False)),
    "hands_line": (("line between the hands", False), ("line from hand to hand", False)),
    "feet_line": (("line between the feet", False), ("line from foot to foot", False)),
}

# The nouns that name the subject of a code, where that is not its own; of both parts where the subject is a pair.
SUBJECTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("bend", "knee"): ("knee", "leg"),
    ("bend", "elbow"): ("elbow", "arm"),
    ("head_rotation", "head"): ("head", "face"),
    ("line", "hands"): ("hands_line",),
    ("line", "feet"): ("feet_line",),
    ("support", "body"): ("body",),
    ("ground", "hips"): ("hips", "pelvis"),
}
PAIR_NOUNS = {"hands": "hand", "elbows": "elbow", "knees": "knee", "feet": "foot", "arms": "arm", "legs": "leg"}

_GROUND = "the [ground|floor]"

# The phrases about a subject, by kind and value, or by kind, part and value.
PREDICATES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("bend", "fully_bent"): (
        "[fully|completely|entirely] bent",
        "bent as far as it goes",
        "folded up tightly",
        "[tightly|tight] folded",
        "flexed all the way",
    ),
    ("bend", "sharply_bent"): (
        "[sharply|strongly|deeply] bent",
        "bent at [a sharp|an acute] angle",
        "acutely bent",
        "flexed [strongly|a lot]",
    ),
    ("bend", "bent_90"): (
        "bent [at|to] [a right angle|90 degrees]",
        "at a right angle",
        "bent in an L shape",
        "forming a right angle",
        "squarely bent",
    ),
    ("bend", "half_bent"): (
        "[half|partly|halfway|moderately] bent",
        "bent halfway",
        "bent at an obtuse angle",
        "in a medium bend",
        "flexed halfway",
    ),
    ("bend", "slightly_bent"): (
        "[slightly|gently|loosely] bent",
        "bent a little",
        "almost straight",
        "a bit bent",
        "nearly straight",
        "softly bent",
    ),
    ("bend", "straight"): (
        "straight",
        "[completely|fully] straight",
        "straightened",
        "unbent",
        "[locked|held] straight",
        "[fully|completely] extended",
        "stretched",
    ),
    ("bend", "bent"): ("bent", "clearly bent", "flexed"),
    ("height", "above_head"): (
        "above the head",
        "raised overhead",
        "[higher than|over] the head",
        "over the top of the head",
        "overhead",
    ),
    ("height", "head"): (
        "at [head|face] height",
        "level with the head",
        "at the height of the face",
        "close to head level",
        "as high as the face",
    ),
    ("height", "shoulders"): ("at shoulder height", "level with the shoulders", "at the level of the shoulders"),
    ("height", "chest"): (
        "at chest height",
        "level with the chest",
        "at the level of the [chest|ribs]",
        "as high as the chest",
    ),
    ("height", "hips"): ("at [hip|waist] height", "level with the hips", "at the level of the [hips|waist]"),
    ("height", "below_hips"): (
        "below the hips",
        "lower than the hips",
        "down past the hips",
        "further down than the waist",
        "hanging below the waist",
    ),
    ("height", "foot", "hips"): (
        "raised to the hips",
        "as high as the hips",
        "lifted to hip height",
        "~<reaches|reach> the hips",
    ),
    ("height_to_shoulder", "above"): (
        "above the <shoulder|shoulders>",
        "higher than the <shoulder|shoulders>",
        "raised past the <shoulder|shoulders>",
    ),
    ("height_to_shoulder", "level"): (
        "as high as the <shoulder|shoulders>",
        "on a line with the <shoulder|shoulders>",
    ),
    ("height_to_shoulder", "below"): ("below the <shoulder|shoulders>", "lower than the <shoulder|shoulders>"),
    ("height_to_neck", "above"): ("above the neck", "higher than the neck"),
    ("height_to_neck", "level"): ("at [neck|throat] height", "as high as the neck"),
    ("height_to_neck", "below"): ("below the neck", "lower than the neck"),
    ("height_to_hip", "hand", "above"): ("above the <hip|hips>", "higher than the <hip|hips>"),
    ("height_to_hip", "hand", "level"): ("as high as the <hip|hips>", "at the height of the <hip|hips>"),
    ("height_to_hip", "hand", "below"): ("[beneath|under] the <hip|hips>", "further down than the <hip|hips>"),
    ("height_to_hip", "knee", "above"): ("[above|higher than] the <hip|hips>", "pulled up past the <hip|hips>"),
    ("height_to_hip", "knee", "level"): ("level with the <hip|hips>", "at hip height", "as high as the <hip|hips>"),
    ("height_to_hip", "knee", "below"): ("below the <hip|hips>", "lower than the <hip|hips>"),
    ("depth", "hand", "far_front"): (
        "far in front of the body",
        "stretched forward",
        "well ahead of the body",
        "far out in front",
        "at arm's length in front",
    ),
    ("depth", "hand", "front"): (
        "in front of the [body|torso|chest]",
        "ahead of the body",
        "forward of the torso",
        "before the body",
        "out ahead",
        "[held|placed] in front",
    ),
    ("depth", "hand", "behind"): ("behind the [body|back|torso]", "[stretched|held] backwards", "at the back"),
    ("depth", "elbow", "front"): ("in front of the [body|torso]", "[pushed|brought] forward"),
    ("depth", "elbow", "behind"): ("behind the [body|back|torso]", "[drawn|pulled|pushed] back", "jutting out behind"),
    ("side", "hand", "far_outward"): ("far out to the side", "[stretched|reaching] far to the side"),
    ("side", "hand", "outward"): (
        "out to the side",
        "[off|held] to the side",
        "away from the body",
        "beside the body at a distance",
    ),
    ("side", "hand", "across"): (
        "across the body",
        "on the other side of the body",
        "past the middle of the body",
        "over the midline",
    ),
    ("side", "elbow", "outward"): (
        "out to the side",
        "[flared|pointing] outward",
        "away from the [ribs|body]",
        "sticking out",
        "lifted sideways",
    ),
    ("side", "elbow", "tucked"): (
        "close to the [ribs|body|torso]",
        "tucked in",
        "held against the ribs",
        "hugging the body",
        "tight against the side",
    ),
    ("side", "foot", "outward"): ("out to the side", "far out to the side", "placed wide", "planted wide"),
    ("side_to_shoulder", "outside"): (
        "further out than the <shoulder|shoulders>",
        "outside of the <shoulder|shoulders>",
    ),
    ("side_to_shoulder", "in_line"): (
        "no wider than the <shoulder|shoulders>",
        "no further out than the <shoulder|shoulders>",
    ),
    ("side_to_shoulder", "inside"): ("further in than the <shoulder|shoulders>", "towards the middle of the body"),
    ("side_to_hip", "foot", "outside"): ("outside of the <hip|hips>", "set wider than the <hip|hips>"),
    ("side_to_hip", "foot", "in_line"): ("in line with the <hip|hips>", "no wider than the <hip|hips>"),
    ("side_to_hip", "foot", "inside"): ("inside of the <hip|hips>", "further in than the <hip|hips>"),
    ("side_to_hip", "knee", "outside"): ("[turned|pointing|opened] outward", "outside of the <hip|hips>", "splayed"),
    ("side_to_hip", "knee", "inside"): ("[turned|pointing|knocked] inward", "inside of the <hip|hips>"),
    ("depth_to_hip", "front"): ("in front of the <hip|hips>", "forward of the <hip|hips>"),
    ("depth_to_hip", "behind"): ("behind the <hip|hips>", "further back than the <hip|hips>"),
    ("depth_to_torso", "front"): ("in front of the [body|torso]", "ahead of the [body|torso]"),
    ("depth_to_torso", "behind"): ("behind the [body|torso]", "further back than the torso"),
    ("segment", "down"): (
        "pointing down",
        "vertical",
        "pointing straight down",
        "~<points|point> [down|straight down]",
        "hanging vertically",
        "perpendicular to the ground",
    ),
    ("segment", "level"): (
        "horizontal",
        f"[parallel to|level with] {_GROUND}",
        "in a horizontal position",
        "flat",
        "lying level",
    ),
    ("segment", "up"): ("pointing up", "directed upwards", "~<points|point> [up|upwards]"),
    ("segment", "straight_up"): ("pointing straight up", "vertical and upwards", "~<points|point> straight up"),
    ("segment", "thigh", "up"): ("raised above the hips", "pulled up", "pointing up", "~<points|point> up"),
    ("ground", "off"): (
        f"off {_GROUND}",
        "lifted",
        "in the air",
        f"raised from {_GROUND}",
        "hovering above the ground",
        "lifted clear of the floor",
    ),
    ("ground", "on"): (
        f"on {_GROUND}",
        f"touching {_GROUND}",
        f"resting on {_GROUND}",
        f"in contact with {_GROUND}",
        f"~<touches|touch> {_GROUND}",
        f"~<rests|rest> on {_GROUND}",
        "pressed to the ground",
        "planted on the floor",
        "set down",
    ),
    ("distance", "close"): (
        "close together",
        "near each other",
        "close to each other",
        "almost touching",
        "only a little apart",
    ),
    ("distance", "shoulder_width"): ("[shoulder width|about shoulder width] apart", "as far apart as the shoulders"),
    ("distance", "apart"): (
        "apart",
        "spread",
        "more than shoulder width apart",
        "some way apart",
        "separated",
        "clearly apart",
    ),
    ("distance", "wide"): (
        "[wide|far] apart",
        "spread wide",
        "widely separated",
        "a long way apart",
        "widely spaced",
        "at a great distance from each other",
    ),
    ("order_height", "higher"): (
        "[higher than|above] the {other} {noun}",
        "[higher than|above] the other {noun}",
    ),
    ("order_depth", "ahead"): ("in front of the {other} {noun}", "[further forward than|ahead of] the other {noun}"),
    ("order_depth", "foot", "ahead"): (
        "in front",
        "ahead",
        "in front of the {other} {noun}",
        "[in front of|ahead of] the other {noun}",
    ),
    ("level", "height"): (
        "at the same height",
        "on one level",
        "equally high",
        "level with each other",
        "at equal height",
        "equal in height",
    ),
    ("crossing", "crossed"): (
        "crossed over",
        "crossing each other",
        "each on the other's side",
        "swapped over",
    ),
    ("line", "level"): ("horizontal", f"parallel to {_GROUND}"),
    ("line", "vertical"): ("vertical", "straight up and down"),
    ("torso", "upright"): (
        "upright",
        "vertical",
        "held straight up",
        "erect",
        "perfectly upright",
        "tall and straight",
    ),
    ("torso", "level"): ("horizontal", f"parallel to {_GROUND}", "in a horizontal position"),
    ("torso", "upside_down"): ("upside down", "turned over with the head down", "inverted"),
    ("torso", "far_forward"): (
        "bent far forward",
        "[deeply|strongly] bent forward",
        "folded forward",
        "doubled over",
        "bowed deeply",
    ),
    ("torso", "forward"): (
        "leaning forward",
        "bent forward",
        "inclined forward",
        "~leans forward",
        "[pitched|tipped|tilted] forward",
        "slanting forward",
    ),
    ("torso", "back"): (
        "leaning back",
        "bent backward",
        "tilted backward",
        "~leans back",
        "arched backward",
        "reclined",
    ),
    ("torso", "far_back"): ("leaning far back", "bent far backward", "~leans far back"),
    ("lean", "left"): (
        "leaning to the left",
        "tilted to the left",
        "~leans [to the left|left]",
        "bent to the left side",
        "[bending|listing|slanting] to the left",
        "inclined to the left",
    ),
    ("lean", "far_left"): ("leaning far to the left", "strongly tilted to the left", "~leans far to the left"),
    ("twist", "left"): (
        "turned to the left",
        "twisted to the left",
        "~twists to the left",
        "rotated to the left",
        "[swivelled|wound] to the left",
    ),
    ("twist", "far_left"): ("turned far to the left", "strongly twisted to the left"),
    ("head", "down"): (
        "bent down",
        "lowered",
        "bowed",
        "tilted [down|downwards]",
        "~looks down",
        "dropped forward",
        "[drooping|nodding] down",
        "directed at the floor",
    ),
    ("head", "far_down"): ("lowered to the chest", "hanging down", "bent far down", "~hangs down"),
    ("head", "up"): (
        "tilted back",
        "raised",
        "turned upwards",
        "~looks up",
        "thrown back",
        "lifted",
        "pointing at the sky",
    ),
    ("head_tilt", "left"): ("tilted to the left", "leaning to the left", "inclined towards the left shoulder"),
    ("head_rotation", "left"): (
        "turned to the left",
        "pointing left",
        "~looks [left|to the left]",
        "rotated to the left",
        "[directed|averted] to the left",
    ),
    ("head_rotation", "far_left"): (
        "turned far to the left",
        "~looks over the left shoulder",
        "looking over the left shoulder",
    ),
}
# The same in terms of the other part: kind and value -> what the OTHER side is.
INVERSE: dict[tuple[str, str], tuple[str, ...]] = {
    ("order_height", "higher"): ("[lower than|below] the {other} {noun}", "[lower than|below] the other {noun}"),
    ("order_depth", "ahead"): ("behind the {other} {noun}", "[further back than|behind] the other {noun}"),
}
# Followed by what it is near to: "the left hip", or, of both parts, "the hips" or "the opposite hips".
NEAR = "[near|close to|next to|right by]"
NEAR_CHEST = ("drawn up to the [chest|ribs]", "pulled in to the [chest|body]", "near the chest")

# The pieces of sentences; with variety 0 `describe` uses the first of each.
PEOPLE = (
    *("a person", "someone", "a figure", "somebody", "one person", "an individual"),
    *("the person", "this person", "the figure", "the individual"),
)
# Before a person and what they are doing: "There is a person sitting".
OPENED_PEOPLE = PEOPLE[:6]
OPENERS = ("there is", "here is", "we see", "the pose shows")
COPULAS = (("is", "are"), ("stays", "stay"), ("remains", "remain"), ("is kept", "are kept"))
# They keep the left knee straight; the person keeps ...; ..., keeping the left knee straight.
HOLDING = (("keep", "keeps", "keeping"), ("hold", "holds", "holding"), ("have", "has", "having"))
HOLDERS = (("they", 0), ("the person", 1), ("this person", 1), ("the figure", 1))
DETERMINERS = ("the", "their")
# Nouns that always take "the".
OWNERLESS = frozenset({"body", "hands_line", "feet_line"})
BOTH = ("both", "the", "their", "both of their", "the two", "both of the")
PREFACES = (
    "in addition,",
    "also,",
    "meanwhile,",
    "at the same time,",
    "besides,",
    "here,",
    "furthermore,",
    "in this pose,",
    "moreover,",
    "additionally,",
    "likewise,",
    "what is more,",
)
# Between two clauses with a verb each; between facts that differ from side to side; before parts without a verb.
LINKS = (", while", " while", ", and", " and", ";")
CONTRASTS = (", while", " while", ", but", ", whereas", " whereas")
WITH = (" with", ", with")
