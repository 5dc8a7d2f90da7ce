// Camera, lights, floor and the drawing of frames, which happens on demand only.
import {
  CircleGeometry,
  Color,
  DirectionalLight,
  Fog,
  HemisphereLight,
  MathUtils,
  Mesh,
  MeshStandardMaterial,
  PCFShadowMap,
  PerspectiveCamera,
  Scene,
  Spherical,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const BACKGROUND = "#eef1f5";
const FLOOR = "#dfe4ea";
const VIEW = new Vector3(0.3, 0.16, 1).normalize(); // from the body to the camera
const FIELD = 30; // degrees
const MARGIN = 1.12;
const LOWEST_VIEW = MathUtils.degToRad(92); // from the vertical, just below the floor
const MAX_PIXEL_RATIO = 2;

// null where the browser has no WebGL 2.
function makeRenderer(canvas) {
  try {
    const renderer = new WebGLRenderer({ canvas, antialias: true });
    renderer.shadowMap.enabled = true;
    renderer.shadowMap.type = PCFShadowMap;
    return renderer;
  } catch {
    return null;
  }
}

function makeSun() {
  const sun = new DirectionalLight("#ffffff", 2.2);
  sun.position.set(1.6, 4, 2.4);
  sun.castShadow = true;
  sun.shadow.mapSize.set(1024, 1024);
  sun.shadow.radius = 5;
  sun.shadow.normalBias = 0.02;
  return sun;
}

function makeFloor() {
  const floor = new Mesh(new CircleGeometry(30, 48), new MeshStandardMaterial({ color: FLOOR, roughness: 1 }));
  floor.rotation.x = -Math.PI / 2;
  floor.receiveShadow = true;
  return floor;
}

export class Stage {
  constructor(canvas, onFrame) {
    this.canvas = canvas;
    this.onFrame = onFrame;
    this.frames = 0;
    this.pending = 0;
    this.motion = null;
    this.moved = false; // whether the camera was moved by hand
    this.renderer = makeRenderer(canvas);
    this.scene = new Scene();
    this.scene.background = new Color(BACKGROUND);
    this.scene.fog = new Fog(BACKGROUND, 9, 22);
    this.sun = makeSun();
    this.scene.add(this.sun, this.sun.target, new HemisphereLight("#ffffff", "#b9bec6", 1.7), makeFloor());
    this.camera = new PerspectiveCamera(FIELD, 1, 0.05, 60);
    this.camera.position.copy(VIEW).multiplyScalar(4);
    this.orbit = new OrbitControls(this.camera, null);
    this.orbit.maxPolarAngle = LOWEST_VIEW;
    this.orbit.addEventListener("change", () => this.invalidate());
    this.orbit.addEventListener("start", () => (this.moved = true));
  }

  resize(width, height) {
    if (width === 0 || height === 0) return;
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.renderer?.setPixelRatio(Math.min(window.devicePixelRatio, MAX_PIXEL_RATIO));
    this.renderer?.setSize(width, height, false);
    this.invalidate();
  }

  // Whether all corners of a box are in view.
  holds(box) {
    this.camera.updateMatrixWorld();
    const ends = [box.min, box.max];
    return [0, 1, 2, 3, 4, 5, 6, 7].every((corner) => {
      const [x, y, z] = [corner & 1, (corner >> 1) & 1, corner >> 2].map((end) => ends[end]);
      const { x: across, y: up } = new Vector3(x.x, y.y, z.z).project(this.camera);
      return Math.max(Math.abs(across), Math.abs(up)) <= 1;
    });
  }

  // Shows a whole box; the direction of the view stays unless `turned` back.
  frame(box, turned) {
    const size = box.getSize(new Vector3());
    const view = turned ? VIEW : this.camera.position.clone().sub(this.orbit.target).normalize();
    const tall = Math.tan(MathUtils.degToRad(FIELD / 2));
    const wide = tall * this.camera.aspect;
    const across = Math.hypot(size.x * Math.abs(view.z), size.z * Math.abs(view.x));
    const distance = (MARGIN * Math.max(size.y / tall, across / wide)) / 2 + Math.hypot(size.x * view.x, size.z * view.z) / 2;
    box.getCenter(this.orbit.target);
    this.camera.position.copy(this.orbit.target).addScaledVector(view, Math.max(distance, 1));
    this.orbit.update();
    const reach = Math.max(size.x, size.z, size.y) / 2 + 1.2;
    Object.assign(this.sun.shadow.camera, { left: -reach, right: reach, top: reach, bottom: -reach, near: 0.1, far: 12 });
    this.sun.shadow.camera.updateProjectionMatrix();
    this.invalidate();
  }

  // Moves the camera around its target by angles in radians, and nearer by a factor.
  turn(sideways, upwards, nearer = 1) {
    this.moved = true;
    const offset = this.camera.position.clone().sub(this.orbit.target);
    const spherical = new Spherical().setFromVector3(offset);
    spherical.theta += sideways;
    spherical.phi = MathUtils.clamp(spherical.phi - upwards, 0.05, LOWEST_VIEW);
    spherical.radius = MathUtils.clamp(spherical.radius / nearer, 0.5, 20);
    this.camera.position.copy(this.orbit.target).add(offset.setFromSpherical(spherical));
    this.orbit.update();
    this.invalidate();
  }

  // Calls `step(share)` in each frame until the seconds are over; a later call replaces it.
  animate(seconds, step) {
    const start = performance.now();
    this.motion = () => {
      const share = Math.min((performance.now() - start) / (1000 * seconds), 1);
      if (share === 1) this.motion = null;
      step(share);
    };
    this.invalidate();
  }

  invalidate() {
    if (this.pending !== 0) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.motion?.();
      this.draw();
      if (this.motion !== null) this.invalidate();
    });
  }

  draw() {
    this.frames += 1;
    this.renderer?.render(this.scene, this.camera);
    this.onFrame();
  }

  // A point in pixels of the canvas.
  project(point) {
    this.camera.updateMatrixWorld();
    const { x, y } = point.clone().project(this.camera);
    return { x: ((x + 1) / 2) * this.canvas.clientWidth, y: ((1 - y) / 2) * this.canvas.clientHeight };
  }

  dispose() {
    cancelAnimationFrame(this.pending);
    this.motion = null;
    this.orbit.dispose();
    this.scene.traverse((node) => {
      node.geometry?.dispose();
      node.material?.dispose();
    });
    this.renderer?.dispose();
    this.renderer?.forceContextLoss();
  }
}
