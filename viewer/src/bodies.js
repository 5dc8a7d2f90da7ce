// Skinned bodies that stand on the floor, side by side.
import { Box3, Group, MeshStandardMaterial, Vector3 } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { clone } from "three/addons/utils/SkeletonUtils.js";

import { JOINTS } from "./joints.js";

// Okabe and Ito's palette, which color-blind people tell apart: before, after, and more.
const COLORS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];
const GAP = 0.3; // meters between bodies

export const bodyColor = (index) => COLORS[index % COLORS.length];

export async function loadRig(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return (await new GLTFLoader().parseAsync(bytes.buffer, "")).scene;
}

const easeInOut = (share) => share * share * (3 - 2 * share);

export class Body {
  constructor(rig) {
    this.group = new Group();
    this.group.add(clone(rig));
    this.group.traverse((node) => {
      if (node.isSkinnedMesh) this.mesh = node;
    });
    this.mesh.castShadow = true;
    this.mesh.frustumCulled = false;
    this.clothed = this.mesh.material;
    this.bones = this.mesh.skeleton.bones.slice(0, JOINTS.length);
    this.bounds = new Box3();
    this.x = 0;
  }

  // Several bodies have one color each; a single one has clothes.
  paint(color) {
    this.mesh.material = color === null ? this.clothed : new MeshStandardMaterial({ color, roughness: 0.8 });
  }

  pose(quaternions) {
    quaternions.forEach((quaternion, joint) => this.bones[joint].quaternion.copy(quaternion));
  }

  // Puts the lowest vertex onto the floor; `bounds` is the box of all vertices, seen from the body's place.
  stand() {
    this.group.updateMatrixWorld(true);
    this.mesh.computeBoundingBox();
    this.bounds.copy(this.mesh.boundingBox);
    this.group.position.y = -this.bounds.min.y;
    this.bounds.translate(new Vector3(0, -this.bounds.min.y, 0));
    this.group.updateMatrixWorld(true);
  }

  // Starts the way from the pose shown to another; `glide` walks it.
  aim(quaternions) {
    this.from = this.bones.map((bone) => bone.quaternion.clone());
    this.to = quaternions;
    this.startX = this.group.position.x;
  }

  glide(share) {
    const eased = easeInOut(share);
    this.bones.forEach((bone, joint) => bone.quaternion.slerpQuaternions(this.from[joint], this.to[joint], eased));
    this.group.position.x = this.startX + (this.x - this.startX) * eased;
    this.stand();
  }
}

// Gives bodies their places on the x axis, so that their boxes do not touch; they must stand in their poses.
export function spread(bodies) {
  let edge = 0;
  bodies.forEach((body, index) => {
    body.x = index === 0 ? 0 : edge + GAP - body.bounds.min.x;
    edge = body.x + body.bounds.max.x;
  });
  const middle = bodies.length ? (bodies[0].bounds.min.x + edge) / 2 : 0;
  if (bodies.length > 1) bodies.forEach((body) => (body.x -= middle));
}

// The box of all bodies in their places.
export function boundsOf(bodies) {
  const box = new Box3();
  bodies.forEach((body) => box.union(body.bounds.clone().translate(new Vector3(body.x, 0, 0))));
  return box;
}
