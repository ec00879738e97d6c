/** The camera, or the reason why there is none. */

import * as problems from "./problems.js";

/**
 * Shows the camera in `video`.
 * @param {HTMLVideoElement} video
 * @param {() => void} ended is called when the camera goes away
 */
export async function open(video, ended) {
  if (!navigator.mediaDevices) throw problems.camera("insecure");
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      // More pixels than this cost time and show the tracker nothing more.
      video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" },
    });
  } catch (error) {
    throw problems.camera(error instanceof Error ? error.name : String(error));
  }
  stream.getVideoTracks()[0].onended = ended;
  video.srcObject = stream;
  await video.play();
}

/** @param {HTMLVideoElement} video */
export function close(video) {
  const stream = /** @type {MediaStream | null} */ (video.srcObject);
  for (const track of stream?.getTracks() ?? []) track.stop();
  video.srcObject = null;
}

/** Whether the person has said yes before. */
export async function allowed() {
  try {
    const name = /** @type {PermissionName} */ ("camera");
    return (await navigator.permissions.query({ name })).state === "granted";
  } catch {
    return false;
  }
}
