/** Messages about what is missing, and what to do. */

export class Problem extends Error {
  /**
   * @param {string} title what is the matter
   * @param {string} help what to do about it
   * @param {"camera" | "file" | "model" | "packages" | "browser"} [kind] what it is a matter of
   */
  constructor(title, help, kind = "file") {
    super(title);
    this.help = help;
    this.kind = kind;
  }
}

/** @type {Record<string, [string, string]>} */
const CAMERA = {
  NotFoundError: ["No camera found", "Plug one in and try again."],
  OverconstrainedError: ["No camera found", "Plug one in and try again."],
  NotAllowedError: ["The camera is not allowed", "Allow it for this page: the camera sign beside the address."],
  NotReadableError: ["The camera is in use", "Close the other program that films, and try again."],
  ended: ["The camera is gone", "Plug it in again and try again."],
  insecure: ["No camera on this address", "Browsers film only for https and for this machine itself, http://127.0.0.1."],
};

/** @param {string} name of the browser's error */
export function camera(name) {
  const [title, help] = CAMERA[name] ?? ["The camera does not start", `The browser says: ${name}.`];
  return new Problem(title, help, "camera");
}

/** @param {unknown} error @param {string} folder of the packages */
export function packages(error, folder) {
  const why = error instanceof Error ? error.message : String(error);
  const help = `Serve @litertjs/core and @mediapipe/holistic, as npm installs them, in ${folder} (${why}).`;
  return new Problem("A package of this page is missing", help, "packages");
}

export const noWebAssembly = () =>
  new Problem(
    "This browser has no WebAssembly",
    "It finds the hands and reads them. Take a newer browser, or allow it in the settings.",
    "browser",
  );

/** @param {string} why */
export const noModel = (why) =>
  new Problem(
    "There is no model",
    `Export one with python -m aslx.export --workdir RUN --web, and reload this page (${why}).`,
    "model",
  );
