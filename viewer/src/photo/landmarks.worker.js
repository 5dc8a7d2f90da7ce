// Runs MediaPipe beside the page: {base} loads it, {number, bitmap} finds the landmarks of one person.
let landmarker = null;

async function load(base) {
  const { FilesetResolver, PoseLandmarker } = await import(`${base}/vision_bundle.mjs`);
  const files = await FilesetResolver.forVisionTasks(`${base}/wasm`, true);
  landmarker = await PoseLandmarker.createFromOptions(files, {
    baseOptions: { modelAssetPath: `${base}/pose_landmarker_full.task`, delegate: "CPU" },
    canvas: new OffscreenCanvas(1, 1),
    runningMode: "IMAGE",
    numPoses: 1,
  });
}

// What `placeLandmarks` takes, or null.
function find(bitmap) {
  const { worldLandmarks, landmarks } = landmarker.detect(bitmap);
  if (worldLandmarks.length === 0) return null;
  return [worldLandmarks[0], landmarks[0], bitmap.width, bitmap.height];
}

self.onmessage = async ({ data: { number, base, bitmap } }) => {
  try {
    if (base !== undefined) await load(base);
    const found = bitmap === undefined ? null : find(bitmap);
    bitmap?.close();
    self.postMessage({ number, found });
  } catch (error) {
    self.postMessage({ number, problem: String(error?.message ?? error) });
  }
};
