// Poses as they come in and go out: 22 quaternions [x, y, z, w], y up, relative to the parents.
import { Quaternion } from "three";

import { JOINTS } from "./joints.js";

const NORM_TOLERANCE = 1e-2;

export function readPose(numbers, name) {
  if (!Array.isArray(numbers) || numbers.length !== JOINTS.length) {
    throw new TypeError(`${name} has ${numbers?.length ?? "no"} rotations; expected ${JOINTS.length} quaternions`);
  }
  return numbers.map((row, joint) => readQuaternion(row, `${name}, ${JOINTS[joint]}`));
}

export function readQuaternion(row, name) {
  const quaternion = new Quaternion(...row);
  const off = Math.abs(quaternion.length() - 1);
  if (row.length !== 4 || !(off <= NORM_TOLERANCE)) {
    throw new TypeError(`${name} is ${JSON.stringify(row)}; expected a unit quaternion x, y, z, w`);
  }
  return quaternion.normalize();
}

export const writePose = (quaternions) => quaternions.map((each) => each.toArray());

// The mirror image at the body's middle plane.
export const mirrored = (quaternion) => new Quaternion(quaternion.x, -quaternion.y, -quaternion.z, quaternion.w);
