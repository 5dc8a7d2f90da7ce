"""Automatic captions and rewrites of them, written by hand as a chat model would write."""

REWRITES = (
    (
        "Someone is stepping forward with the right foot. The knees are apart. The right elbow is bent a little. "
        "The hands are spread wide. Both hands are level with the hips and out to the side. The left hand is in "
        "front of the body.",
        "The person steps forward with the right foot, knees apart. Both hands are held at hip height, out to the "
        "sides and wide apart, with the left hand in front of the body and the right elbow slightly bent.",
    ),
    (
        "A person lies on the back. The right forearm is horizontal. The left hand is in front of the body. Both "
        "thighs are pulled up. The left elbow is partly bent. The right hand is across the body. The right elbow "
        "is sharply bent. The left knee is strongly bent.",
        "The person is lying on their back with both thighs pulled up and the left knee strongly bent. The left "
        "elbow is partly bent, and the left hand is in front of the body. The right hand reaches across the body, "
        "the right forearm horizontal and the right elbow sharply bent.",
    ),
    (
        "Both hands are level with the hips. The feet are apart. The left hand is behind the back. The right foot "
        "is ahead. The left elbow is slightly bent. The right knee is straight. The right hand is in front of the "
        "body. The right elbow is straight.",
        "The feet are apart, the right foot ahead of the other with the right knee straight. Both hands are at hip"
        " level: the right hand is in front of the body with a straight right elbow, while the left hand is behind"
        " the back with the left elbow gently bent.",
    ),
    (
        "Someone is standing on the right leg with both arms hanging down. The left knee is bent at a right angle."
        " The left thigh is horizontal. The knees are spread. The torso is upright.",
        "Balanced on the right leg, the person lifts the left thigh to horizontal, the left knee bent at a right "
        "angle and the knees spread apart. The torso is upright and both arms hang down by the sides.",
    ),
    (
        "Someone is squatting. The knees are apart. Both knees are fully bent. The head is bent down. The left "
        "hand is at hip height and near the left ankle. The torso is leaning forward and leaning to the right. The"
        " right hand is below the hips and on the ground. Both elbows are slightly bent.",
        "The person squats with knees apart and fully bent. The head is lowered, and the torso leans forward and "
        "to the right. Both elbows are slightly bent; the right hand touches the ground below the hips and the "
        "left hand is near the left ankle at hip height.",
    ),
    (
        "Someone is standing. The right upper arm is pointing down. The right hand is at hip height. The left "
        "elbow is bent a little. The left hand is level with the chest and far in front of the body. The torso is "
        "upright. The right elbow is straight. The left forearm is horizontal.",
        "The person stands upright. The right arm is straight, its upper arm pointing down, with the hand at hip "
        "height. The left forearm is horizontal and the left elbow bent a little as the left hand reaches forward "
        "at chest height.",
    ),
    (
        "A person kneels on the left knee with both arms raised overhead. The right knee is bent at a right angle."
        " The head is tilted back.",
        "Kneeling on the left knee with the right knee bent at a right angle, the person raises both arms overhead"
        " and tilts the head back.",
    ),
    (
        "The left hand is level with the chest and stretched forward. The right forearm is horizontal. The feet "
        "are apart. The left knee is half bent. The right knee is bent at a right angle. The right foot is lifted."
        " The torso is tilted to the left. The right elbow is bent at 90 degrees.",
        "The person tilts the torso to the left and reaches the left hand forward at chest height. The right elbow"
        " forms a right angle with the forearm horizontal. The feet are apart, the right foot is lifted with its "
        "knee bent at 90 degrees, and the left knee is half bent.",
    ),
    (
        "A person crouches. The left elbow is straight. The right upper arm is horizontal. The right elbow is half"
        " bent. The torso is bent far forward. The left knee is half bent.",
        "The person crouches with the torso bent far forward and the left knee half bent. The left arm is held "
        "straight, while the right upper arm is raised to horizontal with the elbow half bent.",
    ),
    (
        "A person bends forward. The right hand is stretched forward. Both knees are straight. The left elbow is "
        "straight. The hands are close together.",
        "The person bends forward at the hips, keeping both legs straight. The left arm is straight, the right "
        "hand stretches forward, and the hands are close to each other.",
    ),
    (
        "A person stands on the left leg. The right leg is extended to the back. The left hand is higher than the "
        "right hand. The head is turned to the left. Both elbows are slightly bent.",
        "Balancing on the left leg, the person stretches the right leg out behind, the left hand higher than the "
        "other, the head turned to the left and both elbows gently bent.",
    ),
    (
        "Someone is sitting on the ground. Both legs are crossed. The body is propped on the right hand. The left "
        "hand is above the shoulder. The torso is leaning far to the right.",
        "The person sits on the floor with their legs crossed, propped on the right hand. The torso leans far to the "
        "right, and the left hand is raised above the shoulder.",
    ),
    (
        "A person stands. Both hands are at the same height. The elbows are crossing each other. The left foot is in "
        "front of the right foot. The line between the feet is horizontal. The head is tilted to the right.",
        "The person stands with the left foot in front of the right foot and the line between the feet horizontal. "
        "Their hands are at the same height, the elbows crossed over, and the head tilts to the right.",
    ),
    (
        "The left knee is above the hip. The right foot is behind the hip. The right elbow is tucked in. Both arms "
        "are stretched forward. The left foot is outside of the hip.",
        "The left knee is higher than the hip, and the left foot is outside of the hip. The right foot is behind the "
        "hip. Both arms reach forward, with the right elbow tucked in.",
    ),
)
DIFFERENCES = (
    (
        "Raise the left hand. Bend the right knee more. Turn the torso to the left.",
        "Turn the torso to the left and raise the left hand, while the right knee bends more.",
    ),
    (
        "The left hand is higher. The right foot is further back. Both elbows are straighter.",
        "The left hand has moved up, the right foot is further back, and both elbows are straighter.",
    ),
    (
        "Move the hands closer together. Raise the right knee. Tilt the head to the left.",
        "Bring the hands closer together, lift the right knee and tilt the head to the left.",
    ),
    (
        "Look a little to the left. Bring the right hand closer to the left hip. Step forward with the right foot. "
        "Lower the hips considerably.",
        "Step forward with the right foot and lower the hips a lot, turn the head slightly to the left, and bring the "
        "right hand nearer to the left hip.",
    ),
)
