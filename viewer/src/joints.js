// The 22 joints of SMPL's order: names, numbers, and the joint on the other side.
export const JOINTS = [
  "pelvis",
  "left_hip",
  "right_hip",
  "spine1",
  "left_knee",
  "right_knee",
  "spine2",
  "left_ankle",
  "right_ankle",
  "spine3",
  "left_foot",
  "right_foot",
  "neck",
  "left_collar",
  "right_collar",
  "head",
  "left_shoulder",
  "right_shoulder",
  "left_elbow",
  "right_elbow",
  "left_wrist",
  "right_wrist",
];

export const jointTitle = (joint) => JOINTS[joint].replace("_", " ");

export function jointIndex(joint) {
  const index = typeof joint === "string" ? JOINTS.indexOf(joint) : joint;
  if (!Number.isInteger(index) || index < 0 || index >= JOINTS.length) {
    throw new RangeError(`joint is ${JSON.stringify(joint)}; expected one of ${JOINTS.join(", ")}, or its number`);
  }
  return index;
}

export function otherSide(joint) {
  const name = JOINTS[joint];
  if (name.startsWith("left_")) return JOINTS.indexOf(name.replace("left_", "right_"));
  if (name.startsWith("right_")) return JOINTS.indexOf(name.replace("right_", "left_"));
  return joint;
}
