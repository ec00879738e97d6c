/** Files as another way in: clips of a parquet, a film, a picture. */

import { Problem } from "./problems.js";
import { Remote } from "./remote.js";
import { RATE } from "./time.js";

/**
 * @param {File} file
 * @param {import("./columns.js").Input} input
 * @returns {Promise<{name: string, rows: Float32Array[]}[]>}
 */
export async function clips(file, input) {
  if (input.kind !== "columns" && input.kind !== "frames") {
    throw new Problem(`${file.name} cannot be read`, "This model takes no parquet: open a video or an image.");
  }
  const remote = new Remote("/web/dist/parquet.js");
  try {
    const bytes = await file.arrayBuffer();
    return await remote.ask({ bytes, name: file.name, input }, [bytes]);
  } catch (error) {
    throw new Problem(`${file.name} cannot be read`, error instanceof Error ? error.message : String(error));
  } finally {
    remote.worker.terminate();
  }
}

/**
 * Opens a film in `video`, which then stands at its start.
 * @param {File} file
 * @param {HTMLVideoElement} video
 */
export async function film(file, video) {
  video.src = URL.createObjectURL(file);
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () =>
      reject(new Problem(`${file.name} cannot be read`, `The browser says: ${video.error?.message || "no video"}.`));
  });
  // Recordings made in browsers do not say how long they are until one has looked.
  const known = new Promise((resolve) => (video.ondurationchange = resolve));
  if (video.duration === Infinity) await Promise.all([known, seek(video, 1e7)]);
}

/**
 * The frames of the film, as many a second as the models were trained on.
 * @param {HTMLVideoElement} video
 */
export async function* frames(video) {
  const count = Math.max(1, Math.floor(video.duration * RATE));
  for (let i = 0; i < count; i++) {
    await seek(video, (i + 0.5) / RATE);
    yield { time: i / RATE, done: (i + 1) / count };
  }
}

/** @param {HTMLVideoElement} video @param {number} time */
function seek(video, time) {
  return new Promise((resolve) => {
    // A frame that is not decoded yet cannot be looked at; and a film that learns its length seeks
    // by itself.
    const there = () => !video.seeking && video.readyState >= video.HAVE_CURRENT_DATA && resolve(undefined);
    video.onseeked = video.oncanplay = there;
    video.currentTime = time;
  });
}

/** @param {File} file */
export async function picture(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Problem(`${file.name} cannot be read`, "It is no picture that this browser knows.");
  }
}
