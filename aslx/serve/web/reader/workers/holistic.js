// MediaPipe Holistic in a thread of its own: an image in, landmarks out, one at a time.
//
// A classic worker, because the package loads its parts as scripts. The package was written for a
// document, and its code for workers never creates the context that it draws into; so this file
// imitates the parts of a document that the package uses.

self.window = self;
self.alert = (message) => {
  throw new Error(message);
};
self.document = {
  createElement: (kind) => (kind === "canvas" ? new OffscreenCanvas(1, 1) : new Script()),
  addEventListener() {},
  body: { appendChild: (script) => script.run() },
};

class Script extends EventTarget {
  setAttribute(name, value) {
    this[name] = value;
  }

  run() {
    importScripts(this.src);
    this.dispatchEvent(new Event("load"));
  }
}

/** Points of a part as x, y, z and, for the pose, visibility; null if the part was lost. */
function flat(points, visibility = false) {
  if (!points) return null;
  const width = visibility ? 4 : 3;
  const out = new Float32Array(points.length * width);
  points.forEach((p, i) => {
    out.set([p.x, p.y, p.z], i * width);
    if (visibility) out[i * width + 3] = p.visibility;
  });
  return out;
}

let holistic = null;
let found = null;

/** Loads the package. @param {string} folder */
function load(folder) {
  importScripts(`${folder}holistic.js`);
  holistic = new self.Holistic({ locateFile: (name) => folder + name });
  // On the CPU: WebGL without a graphics card is 15 times slower.
  holistic.setOptions({ modelComplexity: 1, smoothLandmarks: true, useCpuInference: true });
  holistic.onResults((results) => {
    results.image?.close?.();
    found = {
      face: flat(results.faceLandmarks),
      left_hand: flat(results.leftHandLandmarks),
      pose: flat(results.poseLandmarks, true),
      right_hand: flat(results.rightHandLandmarks),
    };
  });
  return holistic.initialize();
}

async function answer({ image, time, fresh }) {
  if (fresh) await holistic.reset();
  found = null;
  await holistic.send({ image }, time);
  image.close();
  return found;
}

self.onmessage = async ({ data }) => {
  try {
    const value = data.image ? await answer(data) : await load(data.holistic);
    self.postMessage({ id: data.id, value });
  } catch (error) {
    self.postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
