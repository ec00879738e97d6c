// Reads the clips of a parquet file, in a thread of its own.

import { parquetMetadataAsync, parquetRead, parquetSchema } from "hyparquet";
import { compressors } from "hyparquet-compressors";

/** The name of the column, or pandas' name for an index without a name. */
const KEYS = ["sequence_id", "__index_level_0__"];
const POINTS = { face: 0, left_hand: 468, pose: 489, right_hand: 522 };
const ENDS = [468, 489, 522, 543];
/** The values of each part, as places in a row of all points. */
const BODY = Object.values(POINTS).map((first, i) =>
  Array.from({ length: 3 * (ENDS[i] - first) }, (_, k) => 3 * first + k),
);

/** @typedef {{name: string, rows: Float32Array[]}} Clip */

/**
 * @param {object} file
 * @param {object} metadata
 * @param {string[]} wanted
 * @returns {Promise<Map<string, ArrayLike<any>>>} values by column
 */
async function columns(file, metadata, wanted) {
  const there = new Set(parquetSchema(metadata).children.map((c) => c.element.name));
  const missing = wanted.filter((name) => !there.has(name));
  if (missing.length) {
    const others = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
    throw new Error(`the file has no column ${missing[0]}${others}, which the model reads`);
  }
  const total = Number(metadata.num_rows);
  const found = new Map(wanted.map((name) => [name, new Array(total)]));
  const onChunk = ({ columnName, columnData, rowStart, rowEnd }) => {
    const out = found.get(columnName);
    for (let i = rowStart; i < rowEnd; i++) out[i] = columnData[i - rowStart];
  };
  await parquetRead({ file, metadata, columns: wanted, compressors, onChunk });
  return found;
}

/**
 * The places in a row of the values of each part of the body.
 * @param {string[]} names
 */
function parts(names) {
  /** @type {Map<string, number[]>} */
  const found = new Map();
  names.forEach((name, i) => {
    const part = name.slice(2, name.lastIndexOf("_"));
    found.set(part, [...(found.get(part) ?? []), i]);
  });
  return [...found.values()];
}

/** Replaces the zeros that some tools write for a lost part by NaN, like aslx.readers.parquet. */
function lost(/** @type {Float32Array} */ row, /** @type {number[][]} */ parts) {
  for (const places of parts) {
    if (places.every((i) => row[i] === 0)) for (const i of places) row[i] = NaN;
  }
  return row;
}

/** The fingerspelling competition's: a row a frame, a run of rows a sequence. @returns {Clip[]} */
async function sequences(file, metadata, names) {
  const there = new Set(parquetSchema(metadata).children.map((c) => c.element.name));
  const key = KEYS.find((name) => there.has(name)) ?? KEYS[0];
  const numbered = there.has("frame");
  const found = await columns(file, metadata, [key, ...(numbered ? ["frame"] : []), ...names]);
  const values = names.map((name) => found.get(name));
  const [frame, together] = [found.get("frame"), parts(names)];
  /** @type {Map<string, Clip & {frames: number[]}>} */
  const clips = new Map();
  let last = "";
  for (let t = 0; t < Number(metadata.num_rows); t++) {
    const name = String(found.get(key)[t]);
    if (name !== last && clips.has(name)) {
      throw new Error(`the rows of sequence ${name} are not together; sort by sequence_id and frame`);
    }
    last = name;
    if (!clips.has(name)) clips.set(name, { name, rows: [], frames: [] });
    clips.get(name).frames.push(numbered ? Number(frame[t]) : t);
    clips.get(name).rows.push(lost(Float32Array.from(values, (column) => column[t] ?? NaN), together));
  }
  return [...clips.values()].map(({ name, rows, frames }) => ({ name, rows: inOrder(name, rows, frames) }));
}

/**
 * Rows in the order of their frame numbers, each frame once, as in aslx.readers.parquet.
 * @param {string} name
 * @param {Float32Array[]} rows
 * @param {number[]} frames
 */
function inOrder(name, rows, frames) {
  const order = rows.map((_, i) => i).sort((a, b) => frames[a] - frames[b]);
  return order.flatMap((i, n) => {
    const before = order[n - 1];
    if (!n || frames[i] !== frames[before]) return [rows[i]];
    if (rows[i].every((x, k) => Object.is(x, rows[before][k]))) return [];
    throw new Error(`sequence ${name} has frame ${frames[i]} twice, with other values`);
  });
}

/** The isolated-sign competition's: a row a point, 543 of them a frame. @returns {Clip[]} */
async function points(file, metadata, name) {
  const wanted = ["frame", "type", "landmark_index", "x", "y", "z"];
  const found = await columns(file, metadata, wanted);
  const [frame, type, index, ...xyz] = wanted.map((column) => found.get(column));
  /** @type {Map<number, Float32Array>} */
  const rows = new Map();
  for (let i = 0; i < Number(metadata.num_rows); i++) {
    const t = Number(frame[i]);
    if (!rows.has(t)) rows.set(t, new Float32Array(543 * 3).fill(NaN));
    const at = POINTS[type[i]] + Number(index[i]);
    rows.get(t).set(xyz.map((column) => column[i] ?? NaN), at * 3);
  }
  const order = [...rows.keys()].sort((a, b) => a - b);
  return [{ name, rows: order.map((t) => lost(rows.get(t), BODY)) }];
}

/** @param {{bytes: ArrayBuffer, name: string, input: import("../columns.js").Input}} question */
async function read({ bytes, name, input }) {
  const magic = new TextDecoder().decode(bytes.slice(0, 4));
  if (magic !== "PAR1") throw new Error(`${name} is no parquet file, or is damaged`);
  const file = { byteLength: bytes.byteLength, slice: (a, b) => bytes.slice(a, b) };
  const metadata = await parquetMetadataAsync(file);
  if (input.kind === "frames") return points(file, metadata, name);
  return sequences(file, metadata, input.columns);
}

self.onmessage = async ({ data }) => {
  try {
    self.postMessage({ id: data.id, value: await read(data) });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
