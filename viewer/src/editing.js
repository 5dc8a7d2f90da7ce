// Joints that are picked and turned by hand: dots to pick, rings to turn one about its own axes.
import { Mesh, MeshBasicMaterial, SphereGeometry, Vector3 } from "three";
import { TransformControls } from "three/addons/controls/TransformControls.js";

const PICK_PIXELS = { mouse: 14, pen: 18, touch: 28 };
const DOT = { radius: 0.016, color: "#1b2733", selected: "#d55e00" };
const RING_SIZE = 0.55;

const dotGeometry = new SphereGeometry(DOT.radius, 12, 8);
const dotMaterial = (color) =>
  new MeshBasicMaterial({ color, depthTest: false, transparent: true, opacity: 0.8, fog: false });

function makeDot(bone, material) {
  const dot = new Mesh(dotGeometry, material);
  dot.renderOrder = 10;
  bone.add(dot);
  return dot;
}

// `turned(index, joint, quaternion)` is told what a hand asks for and gives what the joint may have;
// `finished(index, joint)` ends a movement, `selected(index, joint)` follows every choice.
export class Editing {
  constructor(stage, { turned, finished, selected }) {
    this.stage = stage;
    this.turned = turned;
    this.finished = finished;
    this.onSelect = selected;
    this.bodies = [];
    this.dots = [];
    this.chosen = null;
    this.materials = { plain: dotMaterial(DOT.color), selected: dotMaterial(DOT.selected) };
    this.rings = new TransformControls(stage.camera, null);
    this.rings.setMode("rotate");
    this.rings.setSpace("local");
    this.rings.setSize(RING_SIZE);
    this.rings.setColors("#d55e00", "#009e73", "#0072b2", "#e69f00");
    stage.scene.add(this.rings.getHelper());
    this.rings.addEventListener("change", () => stage.invalidate());
    this.rings.addEventListener("dragging-changed", (event) => (stage.orbit.enabled = !event.value));
    this.rings.addEventListener("objectChange", () => this.turn());
    this.rings.addEventListener("mouseUp", () => this.finished(this.chosen.index, this.chosen.joint));
    this.pick = (event) => this.pickAt(event);
    stage.canvas.addEventListener("pointerdown", this.pick, { capture: true });
    this.rings.connect(stage.canvas);
  }

  setBodies(bodies) {
    this.select(null);
    this.bodies = bodies;
    this.dots.flat().forEach((dot) => dot.removeFromParent());
    this.dots = bodies.map((body) => body.bones.map((bone) => makeDot(bone, this.materials.plain)));
  }

  select(joint, index = 0) {
    if (this.chosen) this.dots[this.chosen.index][this.chosen.joint].material = this.materials.plain;
    this.chosen = joint === null ? null : { joint, index };
    if (this.chosen) {
      this.dots[index][joint].material = this.materials.selected;
      this.rings.attach(this.bodies[index].bones[joint]);
      this.stage.scene.updateMatrixWorld(true);
    } else {
      this.rings.detach();
    }
    this.onSelect(this.chosen);
    this.stage.invalidate();
  }

  // The pointer goes down on a dot: the joint is chosen before the rings see the event, so that one gesture turns it.
  pickAt(event) {
    if (event.button !== 0 || this.rings.dragging) return;
    const box = this.stage.canvas.getBoundingClientRect();
    const found = this.nearest(event.clientX - box.left, event.clientY - box.top, PICK_PIXELS[event.pointerType] ?? 14);
    if (found && (found.joint !== this.chosen?.joint || found.index !== this.chosen.index)) {
      this.select(found.joint, found.index);
    }
  }

  nearest(x, y, reach) {
    let best = null;
    this.bodies.forEach((body, index) => {
      body.bones.forEach((bone, joint) => {
        const place = this.stage.project(bone.getWorldPosition(new Vector3()));
        const distance = Math.hypot(place.x - x, place.y - y);
        if (distance <= (best?.distance ?? reach)) best = { distance, joint, index };
      });
    });
    return best;
  }

  turn() {
    const { joint, index } = this.chosen;
    const bone = this.bodies[index].bones[joint];
    this.turned(index, joint, bone.quaternion.clone());
  }

  // Dots and rings do not belong on a snapshot.
  setVisible(visible) {
    this.dots.flat().forEach((dot) => (dot.visible = visible));
    this.rings.getHelper().visible = visible && this.chosen !== null;
  }

  dispose() {
    this.stage.canvas.removeEventListener("pointerdown", this.pick, { capture: true });
    this.rings.detach();
    this.rings.dispose();
    Object.values(this.materials).forEach((material) => material.dispose());
  }
}
