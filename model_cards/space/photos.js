// Photos and the webcam -> poses of 22 quaternions. The images stay in this browser.
const part = (name) => element.querySelector(`[data-part=${name}]`);
const [choose, file, start, take, stop, video, status] =
  ["choose", "file", "start", "take", "stop", "video", "status"].map(part);
const NO_WEBGL = "This browser has no WebGL 2, which is needed to find people in images.";
const OFF = "The webcam is off.";
const NO_CAMERA = "The camera works on https pages only: choose a photo.";

let busy = false;
let webcam = null;
let seen = null; // what the webcam's last frame shows

// Screen readers read each change.
function say(text) {
  if (status.textContent !== text) status.textContent = text;
}

function update() {
  choose.disabled = start.disabled = busy;
  choose.hidden = start.hidden = webcam !== null;
  take.hidden = stop.hidden = video.hidden = webcam === null;
  take.disabled = seen === null;
}

// One thing at a time; what goes wrong is said.
async function run(act) {
  busy = true;
  update();
  try {
    await act();
  } catch (error) {
    say(error.message);
  }
  busy = false;
  update();
}

// `use`: "photo" or "webcam".
async function load(use) {
  const hasWebgl = typeof OffscreenCanvas === "function" && new OffscreenCanvas(1, 1).getContext("webgl2") !== null;
  if (!hasWebgl) throw new Error(NO_WEBGL);
  say(`MediaPipe is loading (${use === "photo" ? 42 : 21} MB, once).`);
  await window.UniPosePhoto.load(props.folder, use);
}

async function readPhoto() {
  const [photo] = file.files;
  file.value = ""; // the same photo can be chosen again
  await load("photo");
  say("Looking for a person.");
  const { pose } = await window.UniPosePhoto.fromImage(photo);
  say("A person was found. The photo stayed on your device.");
  trigger("submit", { source: "photo", pose });
}

// The viewer goes back to the conversation's pose.
function stopWebcam(text) {
  if (webcam === null) return;
  webcam.stop();
  webcam = seen = null;
  window.viewer.follow(null);
  say(text);
  update();
}

function showFrame(found) {
  // Nobody is filmed by a part of the page that is closed.
  if (video.offsetParent === null && webcam !== null) return stopWebcam(OFF);
  seen = found;
  if (found !== null) window.viewer.follow(found.pose, "The pose before your webcam, live.");
  say(found === null ? "Nobody is seen: step back, so that the whole body is in the image." : "A person is seen.");
  update();
}

async function startWebcam() {
  if (!navigator.mediaDevices) throw new Error(NO_CAMERA);
  await load("webcam");
  say("The camera is starting.");
  webcam = await window.UniPosePhoto.startWebcam(video, showFrame);
  // Hiding the page stops it too.
  webcam.done.then(() => stopWebcam(OFF), (error) => stopWebcam(error.message));
}

choose.addEventListener("click", () => file.click());
file.addEventListener("change", () => file.files.length && run(readPhoto));
start.addEventListener("click", () => run(startWebcam));
take.addEventListener("click", () => trigger("submit", { source: "webcam", pose: seen.pose }));
stop.addEventListener("click", () => stopWebcam(OFF));
update();
