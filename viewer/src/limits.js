// Joint limits: a rotation is brought to the nearest one whose Euler angles are in their ranges.
import { MathUtils, Matrix4, Quaternion, Vector3 } from "three";

import { mirrored } from "./poses.js";

const AXES = { X: new Vector3(1, 0, 0), Y: new Vector3(0, 1, 0), Z: new Vector3(0, 0, 1) };
const TOLERANCE = 1e-6; // degrees
const LOCKED = 1e-6;
const HALVINGS = 12;

const wrap = (degrees) => MathUtils.euclideanModulo(degrees + 180, 360) - 180;

// The rotation of intrinsic Euler angles in degrees.
export function fromAngles(angles, order) {
  const result = new Quaternion();
  angles.forEach((angle, place) => {
    result.multiply(new Quaternion().setFromAxisAngle(AXES[order[place]], MathUtils.degToRad(angle)));
  });
  return result;
}

// Both triples of intrinsic Euler angles, in degrees, of a rotation.
export function anglesOf(quaternion, order) {
  const columns = new Matrix4().makeRotationFromQuaternion(quaternion).elements;
  const at = (row, column) => columns[4 * column + row];
  const [i, j, last] = [...order].map((axis) => "XYZ".indexOf(axis));
  const proper = i === last;
  const k = 3 - i - j;
  const sign = (j - i + 3) % 3 === 1 ? 1 : -1;
  const middle = proper ? Math.acos(MathUtils.clamp(at(i, i), -1, 1)) : Math.asin(MathUtils.clamp(sign * at(i, k), -1, 1));
  let outer, inner;
  if (Math.abs(proper ? Math.sin(middle) : Math.cos(middle)) < LOCKED) {
    [outer, inner] = [Math.atan2(sign * at(k, j), at(j, j)), 0];
  } else if (proper) {
    [outer, inner] = [Math.atan2(at(j, i), -sign * at(k, i)), Math.atan2(at(i, j), sign * at(i, k))];
  } else {
    [outer, inner] = [Math.atan2(-sign * at(j, k), at(k, k)), Math.atan2(-sign * at(i, j), at(i, i))];
  }
  const first = [outer, middle, inner].map(MathUtils.radToDeg);
  const second = [first[0] + 180, proper ? -first[1] : 180 - first[1], first[2] + 180];
  return [first, second].map((angles) => angles.map(wrap));
}

const inside = (angles, { low, high }) =>
  angles.every((angle, place) => angle >= low[place] - TOLERANCE && angle <= high[place] + TOLERANCE);

// Near gimbal lock the outer two angles share an axis, and what one of them exceeds the other can take.
function variants([outer, middle, inner], { low, high }) {
  const nearest = MathUtils.clamp(outer, low[0], high[0]);
  const shared = [1, -1].flatMap((sign) => [
    [nearest, middle, inner + sign * (outer - nearest)],
    [outer + sign * inner, middle, 0],
    [0, middle, inner + sign * outer],
  ]);
  return [[outer, middle, inner], ...shared];
}

// The nearest rotation within a range, of a joint on the left side.
export function clampRotation(quaternion, range) {
  const candidates = anglesOf(quaternion, range.order);
  if (candidates.some((angles) => inside(angles, range))) return quaternion.clone();
  let best = null;
  for (const angles of candidates.flatMap((each) => variants(each, range))) {
    const clamped = angles.map((angle, place) => MathUtils.clamp(angle, range.low[place], range.high[place]));
    const rotation = fromAngles(clamped, range.order);
    if (best === null || rotation.angleTo(quaternion) < best.angleTo(quaternion)) best = rotation;
  }
  return best;
}

// A range that also holds a rotation: a pose that is outside already does not jump when it is touched.
function widen(range, quaternion) {
  const candidates = anglesOf(quaternion, range.order);
  if (candidates.some((angles) => inside(angles, range))) return range;
  const reach = candidates.map((angles) => ({
    low: range.low.map((low, place) => Math.min(low, angles[place])),
    high: range.high.map((high, place) => Math.max(high, angles[place])),
  }));
  const width = ({ low, high }) => high.reduce((sum, value, place) => sum + value - low[place], 0);
  return { ...range, ...(width(reach[0]) <= width(reach[1]) ? reach[0] : reach[1]) };
}

const toLeft = (quaternion, range) => (range.mirrored ? mirrored(quaternion) : quaternion);

function chainRotation(range, pose) {
  return range.chain.reduce((product, joint) => product.multiply(pose[joint]), new Quaternion());
}

// The rotation nearest to `target` that a joint may have, given the pose in which its movement began.
//
// `limits` is a list of {chain: [joints from the parent outwards], order, low, high, mirrored}, in degrees.
export function limitRotation(limits, joint, target, pose) {
  const ranges = limits
    .filter((range) => range.chain.includes(joint))
    .map((range) => widen(range, toLeft(chainRotation(range, pose), range)));
  const alone = ranges.find((range) => range.chain.length === 1);
  const wanted = alone ? toLeft(clampRotation(toLeft(target, alone), alone), alone) : target.clone();
  const fits = (rotation) => {
    const changed = pose.map((each, index) => (index === joint ? rotation : each));
    return ranges.every((range) =>
      anglesOf(toLeft(chainRotation(range, changed), range), range.order).some((angles) => inside(angles, range)),
    );
  };
  const chains = ranges.filter((range) => range.chain.length > 1);
  if (chains.length === 0 || fits(wanted)) return wanted;
  // A chain of joints bends no further: the joint goes as far as it can.
  let [reached, refused] = [0, 1];
  for (let step = 0; step < HALVINGS; step++) {
    const middle = (reached + refused) / 2;
    if (fits(pose[joint].clone().slerp(wanted, middle))) reached = middle;
    else refused = middle;
  }
  return pose[joint].clone().slerp(wanted, reached);
}
