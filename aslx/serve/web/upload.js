/** Opens files: clips of a parquet or a .pose file, a film, or a picture. */

import { MOST } from "./pose_file.js";
import { Problem } from "./reader/index.js";
import { Remote } from "./reader/remote.js";
import { RATE } from "./reader/time.js";

const FILMS = /\.(mp4|m4v|mov|webm|mkv|avi|mpg|mpeg|ogv|3gp|ts|mts)$/i;

/**
 * The kind of a file, by its name and type.
 * @param {File} file
 * @returns {"clips" | "picture" | "film"}
 */
export function kind(file) {
  if (/\.(parquet|pose)$/i.test(file.name)) return "clips";
  if (file.type.startsWith("image/")) return "picture";
  if (file.type.startsWith("video/") || FILMS.test(file.name)) return "film";
  throw new Problem(`${file.name} cannot be read`, "It is no video, no picture, no parquet and no .pose file: open one of these.");
}

/**
 * @typedef {object} Clip
 * @property {string} name
 * @property {Float32Array[]} rows
 * @property {number} [rate] frames a second, where the file tells
 * @property {string[]} [mended] what was wrong with the file, and what was done about it
 * @property {string} [empty] why there is nothing to read
 */

/**
 * @param {File} file
 * @param {import("./reader/columns.js").Input} input
 * @returns {Promise<Clip[]>}
 */
export async function clips(file, input) {
  if (input.kind !== "columns" && input.kind !== "frames") {
    throw new Problem(`${file.name} cannot be read`, "This model takes no landmarks: open a video or an image.");
  }
  const pose = /\.pose$/i.test(file.name);
  if (pose && file.size > MOST) {
    const mebibytes = Math.floor(file.size / 2 ** 20);
    throw new Problem(`${file.name} cannot be read`, `It has ${mebibytes} MiB, and at most ${MOST / 2 ** 20} are read: cut it.`);
  }
  const remote = new Remote(new Worker(`/web/dist/${pose ? "pose" : "parquet"}.js`));
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
 * Opens a film in `video`, at its first picture.
 * @param {File} file
 * @param {HTMLVideoElement} video
 */
export async function film(file, video) {
  video.src = URL.createObjectURL(file);
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () =>
      reject(
        new Problem(
          `${file.name} cannot be read`,
          "This browser cannot play it: it is damaged, or of a kind that it does not know. MP4 with H.264 and WebM work.",
        ),
      );
  });
  // A recording from a browser tells its length only after a seek to its end.
  const known = new Promise((resolve) => (video.ondurationchange = resolve));
  if (video.duration === Infinity) await Promise.all([known, seek(video, 1e7)]);
}

/**
 * The frames of the film, at the frame rate that models were trained on.
 * @param {HTMLVideoElement} video
 */
export async function* frames(video) {
  const count = Math.max(1, Math.round(video.duration * RATE));
  for (let i = 0; i < count; i++) {
    await seek(video, (i + 0.5) / RATE);
    yield { time: i / RATE, done: (i + 1) / count };
  }
}

/**
 * The start of the picture that the video shows, in seconds; NaN if the browser does not tell.
 * @param {HTMLVideoElement} video
 */
export function moment(video) {
  if (!("VideoFrame" in globalThis)) return NaN;
  const frame = new VideoFrame(video);
  const time = frame.timestamp / 1e6;
  frame.close();
  return time;
}

/** Whether pictures begin a RATE's part of a second after each other, the first at 0. @param {number[]} times */
export function regular(times) {
  return times.every((time, i) => !(Math.abs(time - i / RATE) > 1 / (3 * RATE)));
}

/** @param {HTMLVideoElement} video @param {number} time */
function seek(video, time) {
  return new Promise((resolve) => {
    // Waits until the frame is decoded. A film whose length becomes known seeks by itself.
    const there = () => !video.seeking && video.readyState >= video.HAVE_CURRENT_DATA && resolve(undefined);
    video.onseeked = video.oncanplay = there;
    video.currentTime = time;
  });
}

/** Upright, as its EXIF data says, and on white where it lets one see through. @param {File} file */
export async function picture(file) {
  try {
    const picture = await createImageBitmap(file);
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0);
    return canvas.transferToImageBitmap();
  } catch {
    throw new Problem(`${file.name} cannot be read`, "It is no picture that this browser knows.");
  }
}
