/**
 * Turns the landmarks of a frame into a row of the model's input, and rows into the input. It only
 * orders values: the model computes its features itself.
 *
 * @typedef {object} Landmarks What MediaPipe Holistic found; a lost part is null.
 * @property {Float32Array | null} face 468 points of x, y, z
 * @property {Float32Array | null} left_hand 21 points of x, y, z
 * @property {Float32Array | null} pose 33 points of x, y, z and visibility
 * @property {Float32Array | null} right_hand 21 points of x, y, z
 *
 * @typedef {"face" | "left_hand" | "pose" | "right_hand"} Part
 *
 * @typedef {object} Input What model.json says of the model's input.
 * @property {"columns" | "frames" | "keypoints" | "image"} kind
 * @property {(number | string)[]} shape
 * @property {string[]} [columns]
 */

/** The parts in the order of the competitions' 543 points. */
export const POINTS = { face: 468, left_hand: 21, pose: 33, right_hand: 21 };
const AXES = "xyz";
/** @param {string} part */
const width = (part) => (part === "pose" ? 4 : 3);

/**
 * The part and the place in it that a column's name stands for: x_right_hand_3 -> right_hand, 9.
 * @param {string} name
 * @returns {[Part, number]}
 */
export function place(name) {
  const found = /^([xyz])_(face|left_hand|pose|right_hand)_(\d+)$/.exec(name);
  if (!found) throw new Error(`the model reads a column ${name}, which is no landmark`);
  const part = /** @type {Part} */ (found[2]);
  return [part, Number(found[3]) * width(part) + AXES.indexOf(found[1])];
}

/** @param {Input} input @returns {[Part, number][]} */
function places(input) {
  if (input.kind === "columns") return (input.columns ?? []).map(place);
  if (input.kind === "frames") {
    return Object.entries(POINTS).flatMap(([part, points]) =>
      Array.from({ length: points * 3 }, (_, i) => {
        const at = Math.floor(i / 3) * width(part) + (i % 3);
        return /** @type {[Part, number]} */ ([part, at]);
      }),
    );
  }
  // The order of the published keypoint network; 1,404 of its 1,662 values belong to the face.
  const parts = ["pose", ...(Number(input.shape[1]) > 258 ? ["face"] : []), "left_hand", "right_hand"];
  return parts.flatMap((part) => {
    const values = POINTS[/** @type {Part} */ (part)] * width(part);
    return Array.from({ length: values }, (_, i) => /** @type {[Part, number]} */ ([part, i]));
  });
}

/**
 * A function that turns a frame's landmarks into a row of this input.
 * @param {Input} input of any kind but an image
 * @returns {(landmarks: Landmarks) => Float32Array}
 */
export function rows(input) {
  const order = places(input);
  // A lost part is zeros for the published keypoint network, and NaN for the competitions.
  const lost = input.kind === "keypoints" ? 0 : NaN;
  return (landmarks) => Float32Array.from(order, ([part, at]) => landmarks[part]?.[at] ?? lost);
}

/**
 * A function that turns a row back into landmarks; parts that the row does not hold are null.
 * @param {Input} input of any kind but an image
 * @returns {(row: Float32Array) => Landmarks}
 */
export function landmarks(input) {
  const order = places(input);
  return (row) => {
    const found = /** @type {Landmarks} */ ({ face: null, left_hand: null, pose: null, right_hand: null });
    order.forEach(([part, at], i) => {
      if (Number.isNaN(row[i])) return;
      found[part] ??= new Float32Array(POINTS[part] * width(part)).fill(NaN);
      found[part][at] = row[i];
    });
    return found;
  };
}

/**
 * The input of a model of `frames` rows: the rows, then padding.
 * @param {Float32Array[]} clip
 * @param {number} frames
 * @param {number} values of a row
 */
export function padded(clip, frames, values) {
  const out = new Float32Array(frames * values).fill(NaN);
  clip.forEach((row, t) => out.set(row, t * values));
  return out;
}

/**
 * The clip, or `most` evenly spaced frames of a longer one.
 * @template T
 * @param {T[]} clip
 * @param {number} most
 */
export function thinned(clip, most) {
  if (clip.length <= most) return clip;
  return Array.from({ length: most }, (_, i) => clip[Math.floor(((i + 0.5) * clip.length) / most)]);
}
