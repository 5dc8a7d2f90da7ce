"""Synonyms of the captioner's words: tables of patterns for free prose.

The captioner's own words are not repeated here; `free_text` reads them from the tables of `captions`.
"""

import re


Entries = tuple[tuple[str, str], ...]

_BEND = r"(?:bent|bends?|bending|flexed|flexes|folded|curled)"
_LEAN = r"(?:lean|bend|bent|tilt|tip|hing|inclin|fold)\w*(?: over)?(?: \w+ly)?"
_MOVED = r"(?:(?:rais|lift|held|hold|reach|stretch|extend|plac)\w*(?: straight| high| up| out)* )?"
_LIES = r"(?:lies|lying|lie)(?: flat| down)?"
_GROUND = r"the (?:ground|floor)"
_THE = r"(?:the|their)"
_FRONT = rf"in front(?: of (?:{_THE} (?:body|torso|chest|hips)|them))?"
_ABOVE, _BELOW = "(?:above|higher than|over|past)", "(?:below|beneath|under|underneath|lower than)"
_OTHER = r"(?:(?:of |than |as )?(?:the )?other(?: one)?)"
_TARGET = (
    r"(?:(?:the|their) )?(?:(?P<which>left|right|own|opposite|other) )?"
    r"(?P<target>head|hip|shoulder|elbow|knee|ankle|foot|feet|chest)s?"
)
_PART = r"(?:the|their|both)(?: (?:left|right|other|upper|lower|whole))* [a-z]+"
_ANY_SIDE = rf"to {_THE} "

# Expressions that are rewritten before reading: "raises the left hand overhead" is "the left hand raises overhead",
# "leans forward and to the left" is "leans forward and leans to the left", "a foot lifted in front" is "lifted and in
# front".
UNFOLDED = (
    (re.compile(r"\b(?:hold|keep)(?:s|ing)? (?!the pose)(?=(?:the|their|both|it|them)\b)"), ""),
    (
        re.compile(r"\b(foot|feet)( is| are)? (?:raised|lifted)(?= (?:in front|ahead|forward|behind|back))"),
        r"\1\2 lifted and",
    ),
    (
        re.compile(
            r"\b((?:twist|turn|rotat|lean|tilt|tip|bend|bow|rais|lift|lower|stretch|extend|straighten|flex|fold"
            r"|cross|spread|plac|rest|bring|mov|tak|pull|shift)(?:e?s|ing|e)?)"
            rf" ((?:{_PART}|it|them)(?: and {_PART}(?=[.,;]|$))?)\b"
        ),
        r"\2 \1",
    ),
    (
        re.compile(rf"\b({_LEAN}) (forwards?)(?:,? and|,) (?:slightly )?(to {_THE} (?:left|right))\b"),
        r"\1 \2 and \1 \3",
    ),
    (
        re.compile(rf"\b(is|are) ((?:(?!\b(?:is|are)\b)[^,.;])+?)(?:,? and so|, as) (?:is|are) ({_PART})"),
        r"\1 \2 and \3 \1 \2",
    ),
)


def _level(landmark: str) -> str:
    at = f"(?:(?:at|around|about|to|near) )?(?:{_THE} )?{landmark}[ -](?:height|level|high)"
    return f"{_MOVED}(?:{at}|(?:level|even|in line|at the (?:height|level)) (?:with|of) {_THE} {landmark}s?)"


# Phrases about a pose, with the codes that they may mean. A phrase with "left" also stands for its mirror image;
# "{side}" is the side of the part.
POSE_PHRASES: Entries = (
    (
        r"(?:stand|step|balanc|walk|strid|march|run|hop)\w*",
        "posture=stands,crouches,one_leg_left,one_leg_right,steps_left,steps_right,balances_left,balances_right,"
        "staggered_left,staggered_right,one_bent_left,one_bent_right,low,tips_left,tips_right",
    ),
    (r"(?:stand|balanc)\w* (?:up )?(?:straight|upright|tall)", "posture=stands torso=upright"),
    (rf"(?:stand|balanc)\w* on {_THE} left (?:leg|foot)", "posture=one_leg_left,balances_left,tips_left"),
    (
        rf"(?:step|strid|walk)\w*(?: forward)? (?:with|on) {_THE} left (?:foot|leg)(?: forward| in front| leading)?",
        "posture=steps_left",
    ),
    (
        r"(?:in|into) a (?:low |deep )?lunge|lunges|lunging|lunge",
        "posture=lunges_left,lunges_right,side_lunges_left,side_lunges_right",
    ),
    (
        rf"(?:in a |into a )?(?:low |deep )?lung\w*(?: forward)? (?:with|on|onto) {_THE} left (?:leg|foot)"
        r"(?: in front| forward| ahead| leading)?",
        "posture=lunges_left",
    ),
    (
        rf"(?:side lung\w*|lung\w* sideways)(?: (?:to|onto|on) {_THE} left(?: side| leg| foot)?)?",
        "posture=side_lunges_left",
    ),
    (r"kick\w*", "posture=kicks_left,kicks_right"),
    (rf"kick\w*(?: out| forward)? with {_THE} left (?:leg|foot)", "posture=kicks_left"),
    (r"squat\w*", "posture=squats"),
    (r"crouch\w*|stand\w* with bent knees", "posture=crouches,squats"),
    (r"stoop\w*|bend\w* low", "posture=stoops,bends_forward"),
    (r"sits|sitting|seated|sit", "posture=sits,sits_ground,sits_cross_legged,sits_heels"),
    (rf"(?:sits|sitting|seated|sit)(?: down)? on {_GROUND}", "posture=sits_ground,sits_cross_legged"),
    (r"kneel\w*", "posture=kneels_both,kneels_left,kneels_right,sits_heels"),
    (rf"kneel\w*(?: down)? on (?:both|{_THE}) knees", "posture=kneels_both"),
    (rf"(?:kneel\w*(?: down)?|down|rest\w*) on {_THE} left knee", "posture=kneels_left"),
    (rf"on all fours|on (?:{_THE} )?hands and knees", "posture=all_fours"),
    (_LIES, "posture=lies_back,lies_front,lies_left,lies_right"),
    (rf"{_LIES}(?: on {_THE} back|,? face up)+|(?:{_LIES} )?supine", "posture=lies_back"),
    (rf"{_LIES}(?: on {_THE} (?:stomach|belly)|,? face down)+|(?:{_LIES} )?prone", "posture=lies_front"),
    (rf"{_LIES} on {_THE} left side", "posture=lies_left"),
    (
        rf"(?:carried|supported|rest\w*|prop\w*)(?: up)? (?:on|by) (?:{_THE} |both )?hands and feet",
        "support=hands_feet",
    ),
    (rf"(?:prop\w*|supported|lean\w*|rest\w*|weight)(?: up)? (?:on|by) {_THE} left hand", "support=left_hand"),
    (rf"(?:completely|sharply|strongly|deeply|tightly|fully) {_BEND}", "bend=fully_bent,sharply_bent"),
    (
        rf"(?:{_BEND} )?(?:at|to|in|into|forms?|forming|makes?|making)(?: about| roughly| nearly)?(?: an?)?"
        r" (?:right angles?|90[ -]degrees?(?: angles?)?)",
        "bend=bent_90",
    ),
    (rf"(?:half|halfway|partly|partially|moderately) {_BEND}|{_BEND} (?:halfway|partly|partway)", "bend=half_bent"),
    (
        rf"(?:slightly|gently|softly|lightly) {_BEND}|{_BEND} (?:slightly|gently|a little|a bit)"
        r"|a (?:slight|gentle|small|soft) (?:bend|flex)",
        "bend=slightly_bent",
    ),
    (
        _BEND,
        "bend=fully_bent,sharply_bent,bent_90,half_bent,slightly_bent,bent torso=forward,far_forward"
        " head=down,far_down",
    ),
    (
        r"(?:fully extended|extended|straightened|straight|locked)"
        r"(?! (?:up|out|ahead|forward|down|overhead|back|in front|to|above|into|behind|sideways))",
        "bend=straight torso=upright",
    ),
    (rf"{_MOVED}(?:overhead|(?:above|over) {_THE} head)", "height=above_head arms=overhead,{side}_up"),
    (_level("(?:head|face)"), "height=head"),
    (_level("shoulder"), "height=shoulders height_to_shoulder=level"),
    (_level("(?:neck|throat)"), "height_to_neck=level"),
    (_level("chest"), "height=chest"),
    (_level("(?:hip|waist)"), "height=hips height_to_hip=level"),
    (rf"{_MOVED}{_ABOVE} {_THE} shoulders?", "height_to_shoulder=above"),
    (rf"{_MOVED}{_ABOVE} {_THE} neck", "height_to_neck=above"),
    (rf"{_MOVED}{_ABOVE} {_THE} (?:hips?|waist)", "height_to_hip=above segment=up"),
    (rf"{_MOVED}{_BELOW} {_THE} shoulders?", "height_to_shoulder=below"),
    (rf"{_MOVED}{_BELOW} {_THE} neck", "height_to_neck=below"),
    (rf"{_MOVED}{_BELOW} {_THE} (?:hips?|waist)|below hip (?:height|level)", "height=below_hips height_to_hip=below"),
    (rf"(?:raised |held )?(?:higher|above) {_OTHER}", "order_height=higher"),
    (
        r"(?:level|even) with (?:the other|each other|one another)|at (?:the same|an equal) (?:height|level)",
        "level=height",
    ),
    (
        r"(?:rais|lift)(?:e|s|ed|es)(?: up| high)?|held up|in the air",
        "height=above_head,head,hips arms={side}_up,overhead ground=off segment=up,straight_up head=up"
        " leg=raised_front,raised_back,raised_side,knee_up",
    ),
    (rf"(?:on|touch\w*|against) {_GROUND}|(?:rest\w*|planted|placed) on {_GROUND}", "ground=on"),
    (rf"(?:lifted |raised |held )?(?:off|clear of|above) {_GROUND}", "ground=off"),
    (
        rf"(?:far|well) (?:out )?{_FRONT}"
        rf"|(?:stretch|reach|extend)\w*(?: straight| far| out)* (?:forwards?|ahead|{_FRONT})",
        "depth=far_front,front arms=forward,{side}_forward leg=raised_front",
    ),
    (
        rf"{_MOVED}(?:{_FRONT}|ahead(?: of the other(?: foot| leg)?)?|forwards?)",
        "depth=front,far_front order_depth=ahead depth_to_hip=front depth_to_torso=front torso=forward"
        " leg=raised_front",
    ),
    (rf"{_MOVED}(?:further )?(?:ahead|in front|forward) {_OTHER}", "order_depth=ahead"),
    (
        rf"{_MOVED}behind(?: {_THE} (?:body|back|torso|hips)| them)?",
        "depth=behind depth_to_hip=behind depth_to_torso=behind leg=raised_back",
    ),
    (
        rf"{_MOVED}(?:out )?(?:to (?:{_THE} sides?|(?:one|either|each) side)|sideways|outwards?)",
        "side=outward,far_outward arms=t_pose,low_wings,{side}_out leg=raised_side side_to_hip=outside",
    ),
    (rf"cross\w* (?:in front of )?{_THE} (?:body|chest|torso)", "side=across depth=front"),
    (rf"across(?: {_THE} (?:body|chest|torso|front|midline))?", "side=across"),
    (r"tucked", "side=tucked head=down"),
    (
        rf"(?:cross|fold)(?:ed|ing|es)(?: over)?(?: (?:over|across|in front of) {_THE} (?:chest|body))?",
        "arms=crossed legs=crossed crossing=crossed",
    ),
    (rf"(?:clasp|join|interlock|interlac)\w*(?: together)?(?: {_FRONT})?", "arms=clasped"),
    (
        rf"(?:hang\w*|relax\w*|rest\w*)(?: loosely| straight)?(?: down)?(?: (?:at|by) {_THE} sides?)?"
        rf"|(?:at|by) {_THE} sides?|alongside {_THE} body",
        "arms=down segment=down",
    ),
    (
        r"(?:stretch|reach|extend|swept|sweep)\w*(?: out)? (?:back(?:wards?)?|behind)",
        "depth=behind arms=swept_back leg=raised_back",
    ),
    (rf"{_MOVED}(?:to )?vertical(?:ly)?", "segment=down torso=upright line=vertical"),
    (r"point\w*(?: straight)? down(?:wards?)?", "segment=down"),
    (
        rf"{_MOVED}(?:to )?horizontal(?:ly)?|(?:parallel|level) (?:to|with) {_GROUND}",
        "segment=level torso=level line=level",
    ),
    (r"point\w* (?:straight )?up(?:wards?)?|pulled up", "segment=up,straight_up"),
    (
        r"close together|together|side by side|close to (?:each other|one another)|near each other",
        "distance=close legs=together",
    ),
    (r"(?:about )?(?:at )?shoulder[ -]width(?: apart)?", "distance=shoulder_width"),
    (r"apart|spread(?: apart)?|separated", "distance=apart"),
    (r"(?:wide|far|widely) apart|spread (?:out )?wide|widely spread|set wide", "distance=wide legs=spread"),
    (r"upright|erect", "torso=upright"),
    (r"(?:far )?backwards?|(?:step|reach|stretch|extend)\w* back", "torso=back depth=behind depth_to_hip=behind"),
    (rf"{_LEAN} (?:slightly )?forwards?", "torso=forward,far_forward posture=bends_forward"),
    (rf"(?:{_LEAN} (?:far|deeply|well) forwards?|deeply (?:bent|tilted|folded) forward)", "torso=far_forward"),
    (r"(?:lean|bend|bent|tilt|tip|arch)\w*(?: slightly)? back(?:wards?)?", "torso=back head=up"),
    (rf"{_LEAN} (?:slightly )?(?:over )?(?:to|towards?) {_THE} left(?: side| shoulder)?", "lean=left head_tilt=left"),
    (
        r"(?:turn|twist|rotat)\w*(?: slightly)? (?:(?:to|towards?) (?:the|their) )?left(?: side)?",
        "twist=left head_rotation=left",
    ),
    (
        r"(?:(?:turn|twist|rotat)\w* (?:far|strongly|sharply)|(?:strongly|sharply) (?:turn|twist|rotat)\w*)"
        r" (?:(?:to|towards?) (?:the|their) )?left(?: side)?",
        "twist=far_left head_rotation=far_left",
    ),
    (r"(?:look|fac|gaz)\w* (?:(?:to|towards?) (?:the|their) )?left", "head_rotation=left"),
    (r"bowed|bent down|lowered|dropped|look\w* down(?:wards?)?|tilted down(?:wards?)?", "head=down"),
    (r"look\w* up(?:wards?)?|tilted up(?:wards?)?", "head=up"),
    (rf"on (?:{_THE} )?(?:hips?|waist)", "arms=on_hips,{side}_on_hip"),
    (rf"on {_THE} knees", "arms=on_knees"),
    (
        rf"(?:near|beside|by|next to|close to|touch\w*|rest\w* on|at|on|almost at) {_TARGET}",
        "near={target}",
    ),
)
# Nouns of prose, with the captioner's that they may stand for.
POSE_PARTS: Entries = (
    (r"elbows?", "elbow"),
    (r"knees?", "knee leg"),
    (r"legs?", "leg foot thigh knee"),
    (r"upper arms?", "upper_arm"),
    (r"forearms?|lower arms?", "forearm"),
    (r"arms?", "arm hand upper_arm elbow"),
    (r"hands?|palms?|wrists?|fists?", "hand"),
    (r"thighs?|upper legs?", "thigh"),
    (r"shins?|calf|calves|lower legs?", "shin"),
    (r"foot|feet|ankles?|heels?", "foot"),
    (r"hips|pelvis|bottom|buttocks", "hips pelvis"),
    (r"torso|trunk|upper body|back|spine", "torso"),
    (r"(?:weight of the )?body|person|someone|figure|individual", "person torso"),
    (r"head|neck", "head"),
    (r"face|gaze", "face head"),
    (r"chin", "chin head"),
    (r"line (?:between the hands|from hand to hand)", "hands_line"),
    (r"line (?:between the feet|from foot to foot)", "feet_line"),
)

# The same for what changes between two poses.
CHANGE_PHRASES: Entries = (
    (r"(?:bend|flex|fold)\w*|bent(?: more| further)?|more (?:bent|flexed)|less straight", "bend=bend torso=forward"),
    (r"straighten\w*|straight(?:er)?|less (?:bent|flexed)|unbend\w*|extend\w*", "bend=straighten torso=back"),
    (
        r"(?:rais|lift)\w*(?: up)?|(?:further |move[sd]? )?up(?:wards?)?|higher(?: up)?",
        "move=up head=up torso=back",
    ),
    (
        r"lower(?:s|ed|ing)?(?: down)?|drop\w*|(?:further |move[sd]? )?down(?:wards?)?",
        "move=down head=down torso=forward",
    ),
    (r"(?:further |more |move[sd]? )?(?:forwards?|in front|ahead)", "move=forward torso=forward"),
    (r"(?:further |more |move[sd]? )?(?:back|backwards?|behind)", "move=back torso=back"),
    (r"(?:further |more )?(?:(?:out|away)(?: to the sides?)?|outwards?)", "move={side} distance=apart"),
    (r"(?:further |more )?(?:in|inwards?|across)(?= |[.,;]|$)(?! front)", "move={opposite}"),
    (r"(?:closer|nearer)(?: together)?|together", "distance=closer"),
    (r"(?:further |farther |wider )?apart|wider|spread\w*", "distance=apart"),
    (
        rf"(?:turn|twist|rotat|look|fac)\w*(?: \w+ly| more| further)?(?: (?:{_ANY_SIDE}|towards? the ))?\s*left",
        "heading=left twist=left head_rotation=left",
    ),
    (rf"(?:lean|tilt|bend|tip)\w*(?: \w+ly| more| further)? {_ANY_SIDE}left", "lean=left head_tilt=left"),
    (rf"(?:further |more |move[sd]? )?{_ANY_SIDE}left", "move=left"),
    (rf"(?:closer|nearer) to {_TARGET}", "reach=to_{target}"),
    (rf"(?:further|farther|away)(?: away)? from {_TARGET}", "reach=from_{target}"),
)
CHANGE_PARTS: Entries = (
    (r"elbows?", "elbow"),
    (r"forearms?|lower arms?|arms?", "arm hand elbow"),
    (r"upper arms?", "upper_arm arm elbow"),
    (r"hands?|wrists?|palms?", "hand"),
    (r"knees?", "knee"),
    (r"legs?", "leg foot knee"),
    (r"thighs?|upper legs?", "thigh knee"),
    (r"shins?|lower legs?|calf|calves", "shin foot"),
    (r"foot|feet|ankles?|heels?", "foot"),
    (r"hips|pelvis", "hips"),
    (r"torso|trunk|upper body|(?<=the )back|(?<=their )back", "torso"),
    (r"(?:whole )?body|person", "person torso"),
    (r"head|chin|gaze", "head"),
)
