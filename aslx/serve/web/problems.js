/** Messages about what is missing, and what to do. */

export class Problem extends Error {
  /**
   * @param {string} title what is the matter
   * @param {string} help what to do about it
   */
  constructor(title, help) {
    super(title);
    this.help = help;
  }
}

const PACKAGES = "In the project's folder run npm ci --prefix aslx/serve/web, then reload this page.";

/** @type {Record<string, [string, string]>} */
const CAMERA = {
  NotFoundError: ["No camera found", "Plug one in and try again, or open a video instead."],
  OverconstrainedError: ["No camera found", "Plug one in and try again, or open a video instead."],
  NotAllowedError: [
    "The camera is not allowed",
    "Allow it for this page: the camera sign beside the address. Or open a video instead.",
  ],
  NotReadableError: [
    "The camera is in use",
    "Close the other program that films, and try again. Or open a video instead.",
  ],
  ended: ["The camera is gone", "Plug it in again and try again, or open a video instead."],
  insecure: [
    "No camera on this address",
    "Browsers film only for https and for this machine itself: open http://127.0.0.1 here.",
  ],
};

/** @param {string} name of the browser's error */
export function camera(name) {
  const [title, help] = CAMERA[name] ?? ["The camera does not start", `The browser says: ${name}.`];
  return new Problem(title, help);
}

/** @param {unknown} error */
export function packages(error) {
  const why = error instanceof Error ? error.message : String(error);
  return new Problem("A package of this page is missing", `${PACKAGES} (${why})`);
}

export const noWebAssembly = () =>
  new Problem(
    "This browser has no WebAssembly",
    "It finds the hands and reads them. Take a newer browser, or allow it in the settings.",
  );

/** @param {string} why */
export const noModel = (why) =>
  new Problem(
    "There is no model",
    `Export one with python -m aslx.export --workdir RUN --web, and reload this page. (${why})`,
  );
