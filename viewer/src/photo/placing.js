// MediaPipe's landmarks -> places of keypoints: `place_landmarks` of modeling_unipose/photo_landmarks.py.
import correction from "./correction.json";
import skeleton from "./skeleton.json";

const USED = skeleton.names.flatMap((name, row) => (name === null ? [] : [row]));
const index = (name) => skeleton.names.indexOf(name);
const HIPS = [index("left_hip"), index("right_hip")];
// Estimated where they are outside the image, too: without them there is no pose.
const TRUNK = [...HIPS, index("left_shoulder"), index("right_shoulder")];
const SIZE = 3 * USED.length;

let map = null; // SIZE * SIZE numbers, read once

function readCorrection() {
  const bytes = Uint8Array.from(atob(correction.data), (letter) => letter.charCodeAt(0));
  return Array.from(new Int8Array(bytes.buffer), (step) => correction.scale * step);
}

const mean = (numbers) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
const middle = (places, rows) => [0, 1, 2].map((axis) => mean(rows.map((row) => places[row][axis])));

// The landmarks of the image, in meters, with the depths of the world's.
function join(world, image, width, height) {
  const flat = image.map(({ x, y }) => [x * width, y * height]);
  let [fits, size] = [0, 0];
  for (const [axis, name] of ["x", "y"].entries()) {
    const given = mean(USED.map((row) => flat[row][axis]));
    const wanted = mean(USED.map((row) => world[row][name]));
    for (const row of USED) {
      const away = flat[row][axis] - given;
      fits += away * (world[row][name] - wanted);
      size += away * away;
    }
  }
  const places = flat.map(([x, y], row) => [(x * fits) / size, (y * fits) / size, world[row].z]);
  const hips = middle(places, HIPS);
  return places.map((place) => place.map((value, axis) => value - hips[axis]));
}

// `world` and `image`: 33 {x, y, z} each, as MediaPipe gives them for an image of `width` times `height` pixels.
// The result is what `fitPose` takes; `visibility` is 1 for those that count, otherwise 0.
export function placeLandmarks(world, image, width, height) {
  map ??= readCorrection();
  const places = join(world, image, width, height);
  const given = USED.flatMap((row) => places[row]);
  USED.forEach((row, number) => {
    places[row] = places[row].map((value, axis) => {
      const column = 3 * number + axis;
      return value + given.reduce((sum, each, at) => sum + each * map[SIZE * at + column], 0);
    });
  });
  const inside = ({ x, y }) => x >= 0 && x <= 1 && y >= 0 && y <= 1;
  return places.map(([x, y, z], row) => ({ x, y, z, visibility: TRUNK.includes(row) || inside(image[row]) ? 1 : 0 }));
}
