/**
 * Landmarks of MediaPipe Holistic out of .pose files, by the rules of aslx.readers.pose_files, which
 * says what each number here means. (The package pose-format writes code for a parser and compiles
 * it, which this page's policy forbids.)
 *
 * @typedef {import("./reader/columns.js").Landmarks} Landmarks
 * @typedef {import("./reader/columns.js").Part} Part
 *
 * @typedef {object} Clip
 * @property {Landmarks[]} frames
 * @property {number} rate frames a second
 * @property {string[]} mended what was undone, or cannot be
 * @property {boolean} hands whether a hand was found in any frame
 */

import { POINTS } from "./reader/columns.js";

/** Bytes of a file. */
export const MOST = 256 * 2 ** 20;
const MOST_FRAMES = 2 ** 17;
const MOST_HEADER = 2 ** 18;

const JOINTS = ["MCP", "PIP", "DIP", "TIP"];
const FINGERS = ["INDEX_FINGER", "MIDDLE_FINGER", "RING_FINGER", "PINKY"];
const HAND = ["WRIST", "THUMB_CMC", "THUMB_MCP", "THUMB_IP", "THUMB_TIP"].concat(
  FINGERS.flatMap((finger) => JOINTS.map((joint) => `${finger}_${joint}`)),
);
const SIDES = ["LEFT", "RIGHT"];
const LIMBS = ["SHOULDER", "ELBOW", "WRIST", "PINKY", "INDEX", "THUMB", "HIP", "KNEE", "ANKLE", "HEEL", "FOOT_INDEX"];
const POSE = [
  "NOSE",
  ...SIDES.flatMap((side) => ["EYE_INNER", "EYE", "EYE_OUTER"].map((eye) => `${side}_${eye}`)),
  ...["LEFT_EAR", "RIGHT_EAR", "MOUTH_LEFT", "MOUTH_RIGHT"],
  ...LIMBS.flatMap((limb) => SIDES.map((side) => `${side}_${limb}`)),
];
/** The names of points 0, 1, 2, ... of each component. @type {Record<string, string[]>} */
export const NAMES = {
  FACE_LANDMARKS: Array.from({ length: POINTS.face }, (_, i) => String(i)),
  LEFT_HAND_LANDMARKS: HAND,
  POSE_LANDMARKS: POSE,
  RIGHT_HAND_LANDMARKS: HAND,
};
/** @param {string} component @returns {Part} */
const part = (component) => /** @type {Part} */ (component.replace("_LANDMARKS", "").toLowerCase());
const WRIST = 0;
const TIP = 12; // Of the middle finger.
const NEAR = 0.01;
const FAR = 0.01;
const STILL = 1e-6;
const DAMAGED = "It is damaged or cut off, or no .pose file";
/** Bytes before the points: of the rate, and of the number of frames; the number of people follows. */
const BODIES = new Map([
  [0.1, [2, 2]],
  [0.2, [4, 4]],
]);
const RESIZED = "a normalised size: depths put back to fractions of the picture's width";
const RESIZED_FROM_UNKNOWN =
  "a normalised size, and no note of the picture's width: depths moved back, of another scale";
const MOVED = "hands whose depths do not begin at the wrist: moved there";
const TURNED = "hands that were normalised one by one, their wrists at rest: read as they are";

/** Reads values one after the other, up to `end`. */
class Cursor {
  /** @param {DataView} view @param {number} end */
  constructor(view, end) {
    this.view = view;
    this.end = end;
    this.at = 0;
  }

  /** The place of so many bytes, which are taken. @param {number} bytes */
  take(bytes) {
    const { at } = this;
    if (at + bytes > this.end) throw new Error(`${DAMAGED}: its header has no end`);
    this.at += bytes;
    return at;
  }

  number() {
    return this.view.getUint16(this.take(2), true);
  }

  text() {
    const bytes = this.number();
    const found = new Uint8Array(this.view.buffer, this.take(bytes), bytes);
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(found);
    } catch {
      throw new Error(`${DAMAGED}: a name in its header is no text`);
    }
  }
}

/** @param {DataView} view */
function header(view) {
  const cursor = new Cursor(view, Math.min(view.byteLength, MOST_HEADER));
  const version = Math.round(view.getFloat32(cursor.take(4), true) * 1000) / 1000;
  const [width, height, depth, count] = [cursor.number(), cursor.number(), cursor.number(), cursor.number()];
  /** @type {{name: string, format: string, points: string[]}[]} */
  const components = [];
  for (let i = 0; i < count; i++) {
    const [name, format] = [cursor.text(), cursor.text()];
    const [points, limbs, colours] = [cursor.number(), cursor.number(), cursor.number()];
    const names = [];
    for (let k = 0; k < points; k++) names.push(cursor.text());
    cursor.take(4 * limbs + 6 * colours);
    components.push({ name, format, points: names });
  }
  return { version, width, height, depth, components, end: cursor.at };
}

/**
 * The rate, the number of frames, and where the first one begins.
 * @param {DataView} view
 * @param {number} start
 * @param {number} version
 * @param {number} points of a frame
 */
function body(view, start, version, points) {
  const sizes = BODIES.get(version);
  if (!sizes) {
    throw new Error(`It is of version ${version}, and 0.1 and 0.2 are read: write it again with a new pose-format`);
  }
  const first = start + sizes[0] + sizes[1] + 2;
  if (first > view.byteLength) throw new Error("It is cut off: it ends with its header");
  const old = version === 0.1;
  const rate = old ? view.getUint16(start, true) : view.getFloat32(start, true);
  let frames = old ? view.getUint16(start + 2, true) : view.getUint32(start + 4, true);
  const people = view.getUint16(first - 2, true);
  if (people !== 1) throw new Error(`It shows ${people} people, and one is wanted`);
  const there = Math.floor((view.byteLength - first) / (16 * points));
  // The old count has 16 bits, and the file's length tells the rest.
  if (old) frames += Math.floor(Math.max(there - frames, 0) / 65536) * 65536;
  if (there !== frames || (view.byteLength - first) % (16 * points)) {
    throw new Error(`It is cut off or damaged: ${there} frames of ${frames} are there`);
  }
  if (frames > MOST_FRAMES) throw new Error(`It has ${frames} frames, and at most ${MOST_FRAMES} are read: cut it`);
  if (!frames) throw new Error("It has no frames");
  return { rate: rate >= 1 && rate <= 240 ? rate : 30, frames, first };
}

/**
 * The clip in the bytes of a file.
 * @param {ArrayBuffer} bytes
 * @returns {Clip}
 * @throws {Error} that says what is damaged, too large or of another body model
 */
export function parsed(bytes) {
  const view = new DataView(bytes);
  const { version, width, height, depth, components, end } = header(view);
  /** The place in a frame of the file, the part and the point. @type {[number, Part, number][]} */
  const places = [];
  let count = 0;
  for (const { name, points } of components) {
    const known = Object.hasOwn(NAMES, name) ? NAMES[name] : [];
    points.forEach((point, i) => {
      if (known.includes(point)) places.push([count + i, part(name), known.indexOf(point)]);
    });
    count += points.length;
  }
  if (!places.length) {
    const found = components.slice(0, 5).map(({ name }) => name.slice(0, 40));
    const wanted = Object.keys(NAMES).join(", ");
    throw new Error(
      `It holds ${found.join(", ") || "nothing"}: the points of MediaPipe Holistic are wanted, ${wanted}, or some of them`,
    );
  }
  const other = components.map(({ format }) => format).find((format) => format !== "XYZC");
  if (other !== undefined) throw new Error(`It has the values ${other.slice(0, 9)} of a point, not XYZC`);
  if (!width || !height) throw new Error(`It is of a picture of ${width} x ${height} pixels: it has none`);
  const { rate, frames, first } = body(view, end, version, count);
  const confidences = first + 12 * count * frames;
  const there = [...new Set(places.map(([, part]) => part))];
  /** @type {Landmarks[]} */
  const clip = [];
  for (let t = 0; t < frames; t++) {
    const found = blank(there);
    for (const [at, part, point] of places) {
      const place = t * count + at;
      const xyz = [0, 4, 8].map((axis) => view.getFloat32(first + 12 * place + axis, true));
      const seen = view.getFloat32(confidences + 4 * place, true) > 0 && xyz.every(Number.isFinite);
      found[part]?.set(seen ? [xyz[0] / width, xyz[1] / height, xyz[2]] : [NaN, NaN, NaN], point * stride(part));
    }
    clip.push(found);
  }
  const mended = mend(clip, width, depth);
  const hands = clip.some((found) => [found.left_hand, found.right_hand].some((hand) => hand?.some(Number.isFinite)));
  return { frames: clip, rate, mended, hands };
}

/** @param {Part} part */
const stride = (part) => (part === "pose" ? 4 : 3);

/** These parts, of whose points none was found. @param {Part[]} there @returns {Landmarks} */
function blank(there) {
  const found = /** @type {Landmarks} */ ({ face: null, left_hand: null, pose: null, right_hand: null });
  for (const part of there) found[part] = new Float32Array(POINTS[part] * stride(part)).fill(NaN);
  return found;
}

/** Calls `each` with every part and the place of every depth in it. @param {Landmarks[]} clip @param {(points: Float32Array, at: number) => void} each */
function depths(clip, each) {
  for (const found of clip) {
    for (const name of /** @type {Part[]} */ (Object.keys(POINTS))) {
      const points = found[name];
      for (let at = 2; points && at < points.length; at += stride(name)) each(points, at);
    }
  }
}

/**
 * Undoes, in place, what normalisation did to depths; answers what was done.
 * @param {Landmarks[]} clip
 * @param {number} width
 * @param {number} depth
 */
function mend(clip, width, depth) {
  /** @type {Set<string>} */
  const mended = new Set();
  if (Math.abs(median(clip) - width / 2) < NEAR * width) {
    const scale = Math.fround(depth ? depth / width : 1);
    depths(clip, (points, at) => {
      points[at] -= width / 2;
      points[at] *= scale;
    });
    mended.add(depth ? RESIZED : RESIZED_FROM_UNKNOWN);
  }
  for (const name of /** @type {const} */ (["left_hand", "right_hand"])) {
    const hands = clip.flatMap((found) => found[name] ?? []);
    if (hands.some((hand) => Math.abs(hand[2]) > FAR)) {
      for (const hand of hands) {
        const begin = hand[2] || 0;
        for (let at = 2; at < hand.length; at += 3) hand[at] -= begin;
      }
      if (!mended.size) mended.add(MOVED);
    }
    const seen = hands.filter((hand) => Number.isFinite(hand[0]) && Number.isFinite(hand[1]));
    if (seen.length > 1 && moves(seen, WRIST) < STILL && moves(seen, TIP) > STILL) mended.add(TURNED);
  }
  return [...mended];
}

/** The median of all depths, NaN if there is none. @param {Landmarks[]} clip */
function median(clip) {
  let [count, i] = [0, 0];
  depths(clip, (points, at) => (count += Number(Number.isFinite(points[at]))));
  const all = new Float32Array(count);
  depths(clip, (points, at) => {
    if (Number.isFinite(points[at])) all[i++] = points[at];
  });
  all.sort();
  return (all[(count - 1) >> 1] + all[count >> 1]) / 2;
}

/** How far a point moves in the picture; NaN if it is lost in a frame. @param {Float32Array[]} hands @param {number} point */
function moves(hands, point) {
  return Math.max(
    ...[0, 1].map((axis) => {
      let [least, most] = [Infinity, -Infinity];
      for (const hand of hands) {
        const value = hand[3 * point + axis];
        if (Number.isNaN(value)) return NaN;
        [least, most] = [Math.min(least, value), Math.max(most, value)];
      }
      return most - least;
    }),
  );
}
