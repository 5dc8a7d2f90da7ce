// The rotation nearest to a sum of weighted directions (Procrustes), by the largest eigenvector of Horn's matrix.
import { Matrix4, Quaternion } from "three";

const SWEEPS = 24;

// The eigenvector of the largest eigenvalue of a symmetric 4 x 4 matrix, by Jacobi's rotations.
function largestEigenvector(matrix) {
  const a = matrix.map((row) => row.slice());
  const vectors = a.map((_, row) => a.map((_, column) => (row === column ? 1 : 0)));
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (let p = 0; p < 3; p++) {
      for (let q = p + 1; q < 4; q++) {
        if (a[p][q] === 0) continue;
        const angle = Math.atan2(2 * a[p][q], a[q][q] - a[p][p]) / 2;
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        for (const rows of [a, vectors]) {
          for (const row of rows) [row[p], row[q]] = [cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]];
        }
        const [first, second] = [a[p], a[q]];
        a[p] = first.map((value, column) => cos * value - sin * second[column]);
        a[q] = first.map((value, column) => sin * value + cos * second[column]);
      }
    }
  }
  const values = a.map((row, index) => row[index]);
  const best = values.indexOf(Math.max(...values));
  return vectors.map((row) => row[best]);
}

// `sum[i][j]` adds up weight * given[i] * rest[j].
export function nearestRotation(sum) {
  const [[xx, yx, zx], [xy, yy, zy], [xz, yz, zz]] = sum; // rest axis, then given axis
  const [w, x, y, z] = largestEigenvector([
    [xx + yy + zz, yz - zy, zx - xz, xy - yx],
    [yz - zy, xx - yy - zz, xy + yx, zx + xz],
    [zx - xz, xy + yx, yy - xx - zz, yz + zy],
    [xy - yx, zx + xz, yz + zy, zz - xx - yy],
  ]);
  return new Quaternion(x, y, z, w);
}

export const noSum = () => [0, 1, 2].map(() => [0, 0, 0]);

export function addOuter(sum, given, rest, weight) {
  given.toArray().forEach((value, row) => {
    rest.toArray().forEach((other, column) => (sum[row][column] += weight * value * other));
  });
}

export function addRotation(sum, quaternion, weight) {
  const { elements } = new Matrix4().makeRotationFromQuaternion(quaternion);
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) sum[row][column] += weight * elements[4 * column + row];
  }
}
