// MediaPipe's 33 world landmarks -> a pose: `fit_rotations` of processing/inverse_kinematics.py for this skeleton.
import { Quaternion, Vector3 } from "three";

import { JOINTS } from "../joints.js";
import { addOuter, addRotation, nearestRotation, noSum } from "./rotations.js";
import skeleton from "./skeleton.json";

const PULL = 0.005; // weight of the rotation that a joint has by its parent
const HINGE = 0.1;
const MIN_VISIBILITY = 0.5;
const HANGING = { left: -1.3, right: 1.3 };
const HINGES = {
  left_elbow: new Vector3(0, -1, 0),
  right_elbow: new Vector3(0, 1, 0),
  left_knee: new Vector3(1, 0, 0),
  right_knee: new Vector3(1, 0, 0),
};
const MIDDLES = {
  mid_hip: ["left_hip", "right_hip"],
  mid_shoulder: ["left_shoulder", "right_shoulder"],
  mid_ear: ["left_ear", "right_ear"],
};
const SIDES = ["left", "right"];
// The trunk is estimated where it is not seen; without it there is no pose.
const TRUNK = SIDES.flatMap((side) => [`${side}_hip`, `${side}_shoulder`]);

const restPoint = (name) => new Vector3(...skeleton.rest[name]);

// Named points with their weights, y up.
function readPoints(landmarks) {
  const points = {};
  skeleton.names.forEach((name, index) => {
    if (name === null) return;
    const { x, y, z, visibility } = landmarks[index];
    const weight = TRUNK.includes(name) ? 1 : visibility >= MIN_VISIBILITY ? Math.min(visibility, 1) : 0;
    points[name] = { place: new Vector3(x, -y, -z), weight };
  });
  for (const [name, [first, second]] of Object.entries(MIDDLES)) {
    const place = points[first].place.clone().add(points[second].place).multiplyScalar(0.5);
    points[name] = { place, weight: Math.min(points[first].weight, points[second].weight) };
  }
  return points;
}

const weightOf = (points, first, second) => Math.min(points[first].weight, points[second].weight);
const direction = (points, first, second) => points[second].place.clone().sub(points[first].place).normalize();

function addSegment(sum, points, [first, second], weight = 1) {
  const rest = restPoint(second).sub(restPoint(first)).normalize();
  addOuter(sum, direction(points, first, second), rest, weight * weightOf(points, first, second));
}

// The rotation of a joint from its segments [first, second, weight] and the rotation that it has by its parent.
function fit(points, segments, pull = null, hinge = null) {
  const sum = noSum();
  if (pull !== null) addRotation(sum, pull, PULL);
  segments.forEach(([first, second, weight]) => addSegment(sum, points, [first, second], weight));
  if (hinge !== null) addOuter(sum, hinge.given, hinge.rest, hinge.weight);
  return nearestRotation(sum);
}

const share = (from, to, part) => from.clone().slerp(to, part);

// The two joints of a limb, whose bend gives the axis of the lower one.
function fitLimb(points, [start, bend, end], lower, pull) {
  const axis = direction(points, start, bend).cross(direction(points, bend, end));
  const weight = Math.min(weightOf(points, start, bend), weightOf(points, bend, end));
  const size = axis.length();
  const hinge = { given: axis.normalize(), rest: HINGES[lower], weight: HINGE * weight * size * size };
  const rotation = fit(points, [[start, bend, 1]], pull, hinge);
  return [rotation, fit(points, [[bend, end, 1]], rotation, hinge)];
}

function worldRotations(points) {
  const world = {};
  const trunk = ["mid_hip", "mid_shoulder", 1];
  world.pelvis = fit(points, [["right_hip", "left_hip", 2], trunk]);
  world.spine3 = fit(points, [["right_shoulder", "left_shoulder", 1], trunk]);
  world.spine1 = share(world.pelvis, world.spine3, 1 / 3);
  world.spine2 = share(world.pelvis, world.spine3, 2 / 3);
  world.head = fit(points, [["right_ear", "left_ear", 1], ["mid_ear", "nose", 1]], world.spine3);
  world.neck = share(world.spine3, world.head, 1 / 2);
  for (const side of SIDES) {
    const part = (name) => `${side}_${name}`;
    world[part("collar")] = world.spine3;
    const hanging = new Quaternion().setFromAxisAngle(new Vector3(0, 0, 1), HANGING[side]);
    const arm = ["shoulder", "elbow", "wrist"].map(part);
    [world[arm[0]], world[arm[1]]] = fitLimb(points, arm, arm[1], world.spine3.clone().multiply(hanging));
    world[arm[2]] = world[arm[1]];
    const leg = ["hip", "knee", "ankle"].map(part);
    [world[leg[0]], world[leg[1]]] = fitLimb(points, leg, leg[1], world.pelvis);
    world[leg[2]] = fit(points, [[part("heel"), part("toe"), 1]], world[leg[1]]);
    world[part("foot")] = world[leg[2]];
  }
  return world;
}

// `landmarks`: 33 {x, y, z, visibility} as MediaPipe gives them: x to the right of the image, y down, z away.
// The result is 22 quaternions [x, y, z, w] relative to the parents, y up.
export function fitPose(landmarks) {
  if (landmarks.length !== skeleton.names.length) {
    throw new TypeError(`there are ${landmarks.length} landmarks; expected ${skeleton.names.length}`);
  }
  const world = worldRotations(readPoints(landmarks));
  return JOINTS.map((joint, index) => {
    const parent = skeleton.parents[index];
    const own = world[joint].clone();
    return (parent < 0 ? own : own.premultiply(world[JOINTS[parent]].clone().invert())).normalize().toArray();
  });
}
