/** Opens the camera, or says why there is none. */

import * as problems from "./problems.js";

/** Asks the person and the system. @returns {Promise<MediaStream>} */
export async function open() {
  if (!navigator.mediaDevices) throw problems.camera("insecure");
  try {
    return await navigator.mediaDevices.getUserMedia({
      // More pixels cost time and do not help the tracker.
      video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" },
    });
  } catch (error) {
    throw problems.camera(error instanceof Error ? error.name : String(error));
  }
}

/**
 * Shows the camera in `video`.
 * @param {HTMLVideoElement} video
 * @param {MediaStream} stream
 * @param {() => void} ended is called when the camera goes away
 */
export async function show(video, stream, ended) {
  stream.getVideoTracks()[0].onended = ended;
  video.srcObject = stream;
  await video.play();
}

/** @param {MediaStream} stream */
export function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** Stops `stream`, and `video` shows it no more. @param {HTMLVideoElement} video @param {MediaStream} stream */
export function close(video, stream) {
  stop(stream);
  if (video.srcObject === stream) video.srcObject = null;
}
