// The viewer: poses in, a view that can be turned and edited, poses out.
import { MathUtils, Vector3 } from "three";

import { Body, bodyColor, boundsOf, loadRig, spread } from "./bodies.js";
import { Editing } from "./editing.js";
import { JOINTS, jointIndex, jointTitle, otherSide } from "./joints.js";
import { handleKey } from "./keyboard.js";
import { limitRotation } from "./limits.js";
import { Panel } from "./panel.js";
import { mirrored, readPose, readQuaternion, writePose } from "./poses.js";
import { Stage } from "./stage.js";
import { takeSnapshot } from "./snapshot.js";

const GLIDE_SECONDS = 0.7;
const FOLLOW_SECONDS = 0.12;
const LABEL_HEIGHT = 0.08; // meters above a body

const prefersStillness = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Viewer {
  constructor(element, { rig, poses, captions = [], labels = [], editable = false, limits = [] }) {
    this.limits = limits;
    this.mirror = false;
    this.gesture = null;
    this.poses = [];
    this.followed = null; // what is shown in place of the poses
    this.bodies = [];
    this.editListeners = [];
    const actions = this.actions(editable);
    this.panel = new Panel(element, editable, actions);
    this.stage = new Stage(this.panel.canvas, () => this.placeLabels());
    if (this.stage.renderer === null) this.panel.showNoWebGL();
    this.editing = editable ? new Editing(this.stage, this.editingEvents()) : null;
    // After the rings of a joint, which see a pointer first.
    this.stage.orbit.connect(this.panel.canvas);
    this.panel.canvas.addEventListener("keydown", (event) => handleKey(event, actions));
    this.sizes = new ResizeObserver(() => this.resize());
    this.sizes.observe(this.panel.view);
    this.read(poses, captions, labels);
    this.ready = loadRig(rig).then((scene) => {
      this.rig = scene;
      this.show(0);
      this.panel.root.dataset.ready = "true";
    });
  }

  actions(editable) {
    return {
      editable,
      chosen: () => this.editing?.chosen ?? null,
      turnJoint: (step) => this.turnChosen(step),
      turnView: (sideways, upwards, nearer) => this.stage.turn(sideways, upwards, nearer),
      resetView: () => this.resetView(),
      step: (by) => this.stepJoint(by),
      deselect: () => this.select(null),
      toggleMirror: () => this.setMirror(!this.mirror),
      choose: (joint, index) => this.select(joint, index),
      save: () => this.saveSnapshot(),
    };
  }

  editingEvents() {
    return {
      turned: (index, joint, quaternion) => this.turn(index, joint, quaternion),
      finished: (index, joint) => this.finish(index, joint),
      selected: (chosen) => {
        this.panel.setChosen(chosen);
        if (chosen) this.panel.announce(`${jointTitle(chosen.joint)} chosen`);
      },
    };
  }

  // Poses and texts.

  setPoses(poses, { captions = [], labels = [], seconds = GLIDE_SECONDS } = {}) {
    this.read(poses, captions, labels);
    if (this.rig && this.followed === null) this.show(prefersStillness() ? 0 : seconds);
  }

  read(poses, captions, labels) {
    if (!Array.isArray(poses) || poses.length === 0) throw new TypeError("poses is no list of poses, or an empty one");
    this.poses = poses.map((pose, index) => readPose(pose, `poses[${index}]`));
    this.gesture = null;
    this.texts = {
      labels: poses.map((_, index) => labels[index] ?? ""),
      captions: poses.map((_, index) => captions[index] ?? ""),
      colors: poses.map((_, index) => (poses.length > 1 ? bodyColor(index) : null)),
    };
    if (this.followed === null) this.panel.setTexts(this.texts);
  }

  // Shows one pose that changes many times a second, as a webcam's does, in place of the poses: nothing can be turned
  // meanwhile, and `getPose` and `setPoses` are about the poses. null shows these again.
  follow(pose, caption = "") {
    const was = this.followed;
    this.followed = pose === null ? null : [readPose(pose, "pose")];
    this.gesture = null;
    if (pose === null) this.panel.setTexts(this.texts);
    else if (was === null) this.panel.setTexts({ labels: [""], captions: [caption], colors: [null] });
    if (this.rig) this.show(prefersStillness() ? 0 : pose === null ? GLIDE_SECONDS : FOLLOW_SECONDS);
  }

  // Shows the poses: bodies are added or taken away, those that stay glide.
  show(seconds) {
    const poses = this.followed ?? this.poses;
    const before = this.bodies.length;
    this.bodies.slice(poses.length).forEach((body) => this.stage.scene.remove(body.group));
    this.bodies.length = Math.min(before, poses.length);
    while (this.bodies.length < poses.length) {
      const body = new Body(this.rig);
      this.stage.scene.add(body.group);
      this.bodies.push(body);
    }
    this.bodies.forEach((body, index) => {
      body.paint(this.followed === null ? this.texts.colors[index] : null);
      body.aim(poses[index]);
      body.pose(poses[index]);
      body.stand();
    });
    spread(this.bodies);
    const added = this.bodies.slice(before);
    added.forEach((body) => (body.startX = body.x));
    if (this.bodies.length !== before) {
      this.editing?.setBodies(this.bodies);
      this.fit(before === 0);
    } else if (!this.stage.moved && !this.stage.holds(boundsOf(this.bodies))) {
      this.fit(false);
    }
    const step = (share) => this.bodies.forEach((body) => body.glide(share));
    step(seconds > 0 ? 0 : 1);
    if (seconds > 0) this.stage.animate(seconds, step);
    else this.stage.motion = null;
    this.stage.invalidate();
  }

  getPose(index = 0) {
    return writePose(this.poses[index]);
  }

  getPoses() {
    return this.poses.map(writePose);
  }

  // Editing.

  onEdit(listener) {
    this.editListeners.push(listener);
  }

  select(joint, index = 0) {
    this.editing?.select(joint === null ? null : jointIndex(joint), index);
  }

  setMirror(on) {
    this.mirror = on;
    this.panel.setMirror(on);
    this.panel.announce(on ? "Turns are mirrored" : "Turns are not mirrored");
  }

  // Sets the rotation of a joint, as far as its limits go.
  rotate(joint, quaternion, index = 0) {
    const number = jointIndex(joint);
    this.turn(index, number, readQuaternion([...quaternion], JOINTS[number]));
    this.finish(index, number);
  }

  turnChosen(step) {
    const { index, joint } = this.editing.chosen;
    this.turn(index, joint, this.poses[index][joint].clone().multiply(step));
    this.finish(index, joint);
  }

  stepJoint(by) {
    const { joint, index } = this.editing.chosen ?? { joint: by > 0 ? -1 : 0, index: 0 };
    const count = JOINTS.length * this.poses.length;
    const next = MathUtils.euclideanModulo(index * JOINTS.length + joint + by, count);
    this.select(next % JOINTS.length, Math.floor(next / JOINTS.length));
  }

  turn(index, joint, quaternion) {
    if (this.followed !== null) return;
    const pose = this.poses[index];
    this.gesture ??= pose.slice();
    pose[joint] = limitRotation(this.limits, joint, quaternion, this.gesture);
    const other = otherSide(joint);
    if (this.mirror && other !== joint) pose[other] = mirrored(pose[joint]);
    if (this.bodies.length === 0) return;
    this.stage.motion = null; // a pose that glides is there at once
    this.bodies.forEach((body, each) => {
      body.pose(this.poses[each]);
      body.group.position.x = body.x;
      body.stand();
    });
    this.stage.invalidate();
  }

  finish(index, joint) {
    if (this.followed !== null) return;
    this.gesture = null;
    const degrees = Math.round(MathUtils.radToDeg(2 * Math.acos(Math.min(Math.abs(this.poses[index][joint].w), 1))));
    this.panel.announce(`${jointTitle(joint)}: ${degrees} degrees from rest`);
    this.editListeners.forEach((listener) => listener(this.getPose(index), index, JOINTS[joint]));
  }

  // The view.

  // The place of a joint in pixels of the page.
  screen(joint, index = 0) {
    const bone = this.bodies[index].bones[jointIndex(joint)];
    const { x, y } = this.stage.project(bone.getWorldPosition(new Vector3()));
    const box = this.panel.canvas.getBoundingClientRect();
    return { x: box.left + window.scrollX + x, y: box.top + window.scrollY + y };
  }

  resetView() {
    this.fit(true);
    this.stage.moved = false;
  }

  fit(turned) {
    this.stage.frame(boundsOf(this.bodies), turned);
  }

  resize() {
    this.stage.resize(this.panel.view.clientWidth, this.panel.view.clientHeight);
    if (!this.stage.moved && this.bodies.length > 0) this.fit(true);
  }

  placeLabels() {
    this.bodies.forEach((body, index) => {
      const top = new Vector3(body.group.position.x, body.bounds.max.y + LABEL_HEIGHT, 0);
      this.panel.placeLabel(index, this.stage.project(top));
    });
  }

  // A PNG of the view with the labels, as a data URL; null without WebGL.
  snapshot() {
    return takeSnapshot(this.stage, this.editing, this.panel.labels);
  }

  saveSnapshot() {
    const address = this.snapshot();
    if (address === null) return;
    const link = Object.assign(document.createElement("a"), { href: address, download: "pose.png" });
    link.click();
  }

  dispose() {
    this.sizes.disconnect();
    this.editing?.dispose();
    this.stage.dispose();
    this.panel.root.remove();
    if (window.viewer === this) window.viewer = null;
  }
}
