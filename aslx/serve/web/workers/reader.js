// Runs the exported model with LiteRT in a thread of its own: rows in, outputs out.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

const WASM = "/vendor/@litertjs/core/wasm/";
/** @type {Map<string, Promise<import("@litertjs/core").CompiledModel>>} */
const models = new Map();
let ready;

/** Logs a line of LiteRT's as what it is: all of them come as errors. @param {string} line */
function log(line) {
  if (/^(INFO|VERBOSE|DEBUG)\b/.test(line)) console.debug(line);
  else if (line.startsWith("WARNING")) console.warn(line);
  else console.error(line);
}

/** LiteRT, or the reason why it does not start: LiteRT rejects no promise when it aborts. */
function runtime() {
  return new Promise((resolve, reject) => {
    self.Module = {
      locateFile: (name) => WASM + name,
      onAbort: (why) => reject(new Error(why)),
      printErr: log,
    };
    loadLiteRt(WASM).then(resolve, reject);
  });
}

/** @param {string} url */
function model(url) {
  ready ??= runtime();
  if (!models.has(url)) {
    models.set(
      url,
      ready.then(async () => {
        const file = await fetch(url);
        if (!file.ok) throw new Error(`${url}: ${file.status} ${file.statusText}`);
        return loadAndCompile(new Uint8Array(await file.arrayBuffer()), { accelerator: "wasm" });
      }),
    );
  }
  return models.get(url);
}

/** @param {{url: string, inputs: Float32Array, shape: number[], frames?: number}} question */
async function run({ url, inputs, shape, frames }) {
  const compiled = await model(url);
  const given = { inputs: new Tensor(inputs, shape) };
  if (frames !== undefined) given.frames = new Tensor(Int32Array.of(frames), [1]);
  const answers = await compiled.run(given);
  const { outputs } = answers;
  const values = Float32Array.from(await outputs.data());
  for (const tensor of [...Object.values(given), ...Object.values(answers)]) tensor.delete();
  return values;
}

self.onmessage = async ({ data }) => {
  try {
    const value = data.inputs ? await run(data) : void (await model(data.url));
    self.postMessage({ id: data.id, value });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
