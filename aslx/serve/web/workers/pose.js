// Reads the clip of a .pose file, in a thread of its own.

import { parsed } from "../pose_file.js";
import { rows } from "../reader/columns.js";

/** @param {{bytes: ArrayBuffer, name: string, input: import("../reader/columns.js").Input}} question */
function read({ bytes, name, input }) {
  const { frames, rate, mended, hands } = parsed(bytes);
  const empty = hands ? "" : `no hand was found in any of ${frames.length} frames`;
  return [{ name, rows: frames.map(rows(input)), rate, mended, empty }];
}

self.onmessage = ({ data }) => {
  try {
    self.postMessage({ id: data.id, value: read(data) });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
