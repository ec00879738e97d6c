/** Cuts the hand out of a picture, in the form on which image classifiers were trained. */

/** The square's side in sizes of the hand: data sets of signs leave this much room around it. */
const MARGIN = 1.6;

/**
 * The square around a hand, in pixels; it may extend past the picture's edge.
 * @param {Float32Array} hand points of x, y, z in parts of the picture
 * @param {number} width
 * @param {number} height
 */
export function square(hand, width, height) {
  const xs = hand.filter((_, i) => i % 3 === 0).map((x) => x * width);
  const ys = hand.filter((_, i) => i % 3 === 1).map((y) => y * height);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const size = MARGIN * Math.max(right - left, bottom - top);
  return { x: (left + right - size) / 2, y: (top + bottom - size) / 2, size };
}

/**
 * RGBA bytes -> the model's input f32[H * W * C]; grey by the weights of ITU-R 601, like Pillow.
 * @param {Uint8ClampedArray} rgba
 * @param {number} channels 1 or 3
 */
export function values(rgba, channels) {
  const out = new Float32Array((rgba.length / 4) * channels);
  for (let i = 0; i < rgba.length / 4; i++) {
    const [r, g, b] = rgba.subarray(4 * i, 4 * i + 3);
    if (channels === 1) out[i] = Math.floor((19595 * r + 38470 * g + 7471 * b + 32768) / 65536);
    else out.set([r, g, b], 3 * i);
  }
  return out;
}

/**
 * A part of a picture, resized to the model's size.
 * @param {ImageBitmap} picture
 * @param {{x: number, y: number, width: number, height: number}} box
 * @param {number[]} shape height, width, channels
 */
export function pixels(picture, box, [height, width, channels]) {
  const canvas = new OffscreenCanvas(width, height);
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (
    canvas.getContext("2d", { willReadFrequently: true })
  );
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, box.x, box.y, box.width, box.height, 0, 0, width, height);
  return values(context.getImageData(0, 0, width, height).data, channels);
}
