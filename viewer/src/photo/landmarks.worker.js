// Runs MediaPipe beside the page: {base, model} loads it, {bitmap, mirrored} finds the landmarks of one person.
let landmarker = null;

async function load(base, model) {
  const { FilesetResolver, PoseLandmarker } = await import(`${base}/vision_bundle.mjs`);
  const files = await FilesetResolver.forVisionTasks(`${base}/wasm`, true);
  landmarker = await PoseLandmarker.createFromOptions(files, {
    baseOptions: { modelAssetPath: `${base}/pose_landmarker_${model}.task`, delegate: "CPU" },
    canvas: new OffscreenCanvas(1, 1),
    runningMode: "IMAGE",
    numPoses: 1,
  });
}

function mirror(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.scale(-1, 1);
  context.drawImage(bitmap, -bitmap.width, 0);
  return canvas;
}

// {world, image} of a person, or null.
function detect(image) {
  const { worldLandmarks, landmarks } = landmarker.detect(image);
  return worldLandmarks.length === 0 ? null : { world: worldLandmarks[0], image: landmarks[0] };
}

function find(bitmap, mirrored) {
  return {
    found: detect(bitmap),
    mirrored: mirrored ? detect(mirror(bitmap)) : null,
    width: bitmap.width,
    height: bitmap.height,
  };
}

self.onmessage = async ({ data: { number, base, model, bitmap, mirrored } }) => {
  try {
    if (base !== undefined) await load(base, model);
    const answer = bitmap === undefined ? null : find(bitmap, mirrored);
    bitmap?.close();
    self.postMessage({ number, answer });
  } catch (error) {
    self.postMessage({ number, problem: String(error?.message ?? error) });
  }
};
