// MediaPipe's landmarks -> places of keypoints: `merge_mirrored` and `place_landmarks` of
// modeling_unipose/photo_landmarks.py.
import correction from "./correction.json";
import skeleton from "./skeleton.json";

const USED = skeleton.names.flatMap((name, row) => (name === null ? [] : [row]));
const index = (name) => skeleton.names.indexOf(name);
const HIPS = [index("left_hip"), index("right_hip")];
// Estimated where they are outside the image, too: without them there is no pose.
const TRUNK = [...HIPS, index("left_shoulder"), index("right_shoulder")];
// By landmark: that of the other side.
const OTHER_SIDES = [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9];
for (let left = OTHER_SIDES.length; left < skeleton.names.length; left += 2) OTHER_SIDES.push(left + 1, left);

let network = null; // the weights of its two layers, read once

function readWeights({ scale, data }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  return Array.from(new Int8Array(bytes.buffer), (step) => scale * step);
}

// The product of numbers and a matrix that has a row for each of them.
function multiply(numbers, matrix) {
  const product = new Array(matrix.length / numbers.length).fill(0);
  matrix.forEach((weight, at) => {
    product[at % product.length] += weight * numbers[Math.floor(at / product.length)];
  });
  return product;
}

// What is added to the used places, from them all.
function correct(places) {
  network ??= [readWeights(correction.hidden), readWeights(correction.output)];
  const [hidden, output] = network;
  const size = mean(places.map((place) => Math.hypot(...place)));
  const given = [...places.flat().map((value) => value / size), 1];
  const seen = [...multiply(given, hidden).map((value) => Math.max(value, 0)), ...given];
  return multiply(seen, output).map((value) => size * value);
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

// The mean of what is found in an image and in its mirror image: {world, image} each, or null where there is nobody.
export function mergeMirrored(found, mirrored) {
  if (mirrored === null) return found;
  const turned = {
    world: OTHER_SIDES.map((row) => ({ ...mirrored.world[row], x: -mirrored.world[row].x })),
    image: OTHER_SIDES.map((row) => ({ ...mirrored.image[row], x: 1 - mirrored.image[row].x })),
  };
  if (found === null) return turned;
  const between = (one, other) => ({ x: (one.x + other.x) / 2, y: (one.y + other.y) / 2, z: (one.z + other.z) / 2 });
  return {
    world: found.world.map((point, row) => between(point, turned.world[row])),
    image: found.image.map((point, row) => between(point, turned.image[row])),
  };
}

// `world` and `image`: 33 {x, y, z} each, as MediaPipe gives them for an image of `width` times `height` pixels.
// The result is what `fitPose` takes; `visibility` is 1 for those that count, otherwise 0.
export function placeLandmarks(world, image, width, height) {
  const places = join(world, image, width, height);
  const added = correct(USED.map((row) => places[row]));
  USED.forEach((row, number) => {
    places[row] = places[row].map((value, axis) => value + added[3 * number + axis]);
  });
  const inside = ({ x, y }) => x >= 0 && x <= 1 && y >= 0 && y <= 1;
  return places.map(([x, y, z], row) => ({ x, y, z, visibility: TRUNK.includes(row) || inside(image[row]) ? 1 : 0 }));
}
