/** What this page's user can do about what is missing, beside what the reader says. */

/** @type {Record<string, string>} */
const ALSO = {
  camera: "Or open a video instead.",
  packages: "In the project's folder run npm ci --prefix aslx/serve/web, then reload this page.",
};

/** @param {Error & {help?: string, kind?: string}} error @returns {[string, string]} a title and help */
export function words({ message, help, kind }) {
  if (help === undefined) return ["Something went wrong", message];
  return [message, [help, ALSO[kind ?? ""]].filter(Boolean).join(" ")];
}
