// Runs the exported model with LiteRT in a thread of its own: rows in, outputs out.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

/** @type {Map<string, Promise<import("@litertjs/core").CompiledModel>>} */
const models = new Map();
let ready;

/** Logs a line of LiteRT's as what it is: all of them come as errors. @param {string} line */
function log(line) {
  if (/^(INFO|VERBOSE|DEBUG)\b/.test(line)) console.debug(line);
  else if (line.startsWith("WARNING")) console.warn(line);
  else console.error(line);
}

/** LiteRT, or the reason why it does not start: LiteRT rejects no promise when it aborts. @param {string} wasm its folder */
function runtime(wasm) {
  return new Promise((resolve, reject) => {
    self.Module = {
      locateFile: (name) => wasm + name,
      onAbort: (why) => reject(new Error(why)),
      printErr: log,
    };
    loadLiteRt(wasm).then(resolve, reject);
  });
}

/** @param {string} url @param {string} [wasm] the folder of LiteRT, of the first question */
function model(url, wasm) {
  ready ??= runtime(wasm);
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

/**
 * The states of the streams that go on, by their numbers.
 * @type {Map<number, Record<string, Tensor>>}
 */
const states = new Map();

/** @param {Record<string, Tensor>} tensors */
function free(tensors) {
  for (const tensor of Object.values(tensors)) tensor.delete();
}

/**
 * A step of a stream, or its end.
 * @param {{url: string, stream: number, end?: boolean, inputs: Float32Array, shape: number[], frames: number, rests: number[]}} question
 */
async function step({ url, stream, end, inputs, shape, frames, rests }) {
  const compiled = await model(url);
  const before = states.get(stream) ?? (end ? {} : await compiled.run("start", {}));
  states.delete(stream);
  if (end) return free(before);
  const given = {
    inputs: new Tensor(inputs, shape),
    frames: new Tensor(Int32Array.of(frames), [1]),
    rests: new Tensor(Int32Array.from(rests), [2]),
  };
  const { outputs, ended, ...after } = await compiled.run("step", { ...given, ...before });
  const read = { outputs: Float32Array.from(await outputs.data()), ended: (await ended.data())[0] > 0 };
  free({ ...given, ...before, outputs, ended });
  states.set(stream, after);
  return read;
}

/** @param {object} data a question */
function answer(data) {
  if (data.stream) return step(data);
  return data.inputs ? run(data) : model(data.url, data.wasm).then(() => undefined);
}

/** Streams are read in the order of their questions. */
let turn = Promise.resolve();

self.onmessage = async ({ data }) => {
  try {
    const mine = data.stream ? turn.then(() => answer(data)) : answer(data);
    turn = mine.catch(() => {});
    const value = await mine;
    self.postMessage({ id: data.id, value });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
