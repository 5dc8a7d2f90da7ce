// Photos and the webcam -> poses, in the visitor's browser: no image leaves the device.
import { fitPose } from "./fitting.js";
import workerSource from "./landmarks.worker.js";
import { mergeMirrored, placeLandmarks } from "./placing.js";

const MAX_PIXELS = 1024; // of the longer side
const CAMERA = { video: { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 } }, audio: false };
const CAMERA_PROBLEMS = {
  NotAllowedError: "The camera is not allowed on this page: allow it in the browser, or choose a photo.",
  NotFoundError: "No camera was found: choose a photo.",
  NotReadableError: "The camera is in use by another program.",
};

// A photo can wait for the exact model; a webcam cannot.
const MODELS = { photo: { model: "heavy", mirrored: true }, webcam: { model: "full", mirrored: false } };

const workers = {}; // by use: promises of loaded workers
let calls = 0;

// One request to a worker, and its answer.
function ask(target, message, transfer = []) {
  calls += 1;
  const number = calls;
  return new Promise((resolve, reject) => {
    const listen = ({ data }) => {
      if (data.number !== number) return;
      target.removeEventListener("message", listen);
      if (data.problem === undefined) resolve(data.answer);
      else reject(new Error(data.problem));
    };
    target.addEventListener("message", listen);
    target.postMessage({ ...message, number }, transfer);
  });
}

async function startWorker(base, model) {
  const address = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  const started = new Worker(address, { type: "module" });
  try {
    await ask(started, { base, model });
  } catch (error) {
    started.terminate();
    throw new Error(`MediaPipe could not be loaded from ${base}: ${error.message}`);
  } finally {
    URL.revokeObjectURL(address);
  }
  return started;
}

// Loads what photos (42 MB) or the webcam (21 MB) need of the files of `unipose get-mediapipe`, from a folder of this
// site. A failure can be tried again.
export async function load(folder, use = "photo") {
  if (!(use in MODELS)) throw new TypeError(`use is "${use}"; accepted: "photo", "webcam"`);
  workers[use] ??= startWorker(new URL(folder, document.baseURI).href.replace(/\/$/, ""), MODELS[use].model);
  try {
    await workers[use];
  } catch (error) {
    delete workers[use];
    throw error;
  }
}

async function shrink(source) {
  const bitmap = await createImageBitmap(source);
  const scale = MAX_PIXELS / Math.max(bitmap.width, bitmap.height);
  if (scale >= 1) return bitmap;
  const size = { resizeWidth: Math.round(bitmap.width * scale), resizeHeight: Math.round(bitmap.height * scale) };
  return createImageBitmap(bitmap, size);
}

async function find(source, use) {
  if (!(use in workers)) throw new Error(`UniPosePhoto.load(folder, "${use}") comes first`);
  const bitmap = await shrink(source);
  const message = { bitmap, mirrored: MODELS[use].mirrored };
  const { found, mirrored, width, height } = await ask(await workers[use], message, [bitmap]);
  const merged = mergeMirrored(found, mirrored);
  if (merged === null) return null;
  const landmarks = placeLandmarks(merged.world, merged.image, width, height);
  return { pose: fitPose(landmarks), landmarks };
}

// {pose: 22 quaternions, landmarks: 33 {x, y, z, visibility}} of the person in an image file.
export async function fromImage(blob) {
  let found;
  try {
    found = await find(blob, "photo");
  } catch (error) {
    if (error.name === "InvalidStateError") throw new Error("The file is no image that this browser can read.");
    throw error;
  }
  if (found === null) throw new Error("No person was found in the image.");
  return found;
}

// Shows the camera in a video element and calls `onPose({pose, landmarks} or null)` for one frame after the other.
// The result's `stop()` switches the camera off, as hiding the page does; then its promise `done` is fulfilled.
export async function startWebcam(video, onPose) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia(CAMERA);
  } catch (error) {
    throw new Error(CAMERA_PROBLEMS[error.name] ?? `The camera could not be started: ${error.message}`);
  }
  video.srcObject = stream;
  video.muted = true;
  video.playsInline = true;
  await video.play();
  let running = true;
  let ended = null; // fulfills `done`
  const watch = async () => {
    while (running) {
      const found = await find(video, "webcam");
      if (running) onPose(found);
      // Frames follow each other as fast as the device finds poses, but never faster than they are shown.
      await new Promise((resolve) => requestAnimationFrame(resolve));
    }
  };
  const stop = () => {
    running = false;
    document.removeEventListener("visibilitychange", hide);
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    ended();
  };
  // Nobody is filmed by a page that they do not see.
  const hide = () => document.hidden && stop();
  document.addEventListener("visibilitychange", hide);
  const done = new Promise((resolve, reject) => {
    ended = resolve;
    watch().catch((error) => {
      if (!running) return;
      reject(error);
      stop();
    });
  });
  return { stop, done };
}
