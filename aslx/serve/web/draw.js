/** Draws the skeleton over the picture. */

const FINGERS = [1, 5, 9, 13, 17].map((first) => [0, first, first + 1, first + 2, first + 3]);
const PALM = [5, 9, 13, 17];
const ARMS = [
  [11, 12],
  [11, 13, 15],
  [12, 14, 16],
  [11, 23, 24, 12],
];
const COLOURS = { left_hand: "#ffb454", right_hand: "#5ad1c4", body: "rgb(255 255 255 / 55%)" };

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Float32Array} points
 * @param {number} width values of a point
 * @param {number[][]} lines
 */
function lines(context, points, width, lines) {
  const { canvas } = context;
  context.beginPath();
  for (const line of lines) {
    line.forEach((point, i) => {
      const x = points[point * width] * canvas.width;
      const y = points[point * width + 1] * canvas.height;
      if (i) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
  }
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Float32Array} points
 * @param {number} radius
 */
function dots(context, points, radius) {
  const { canvas } = context;
  for (let i = 0; i < points.length; i += 3) {
    context.beginPath();
    context.arc(points[i] * canvas.width, points[i + 1] * canvas.height, radius, 0, 2 * Math.PI);
    context.fill();
  }
}

/**
 * Draws the landmarks over the picture in which they were found; lost parts are left out.
 * @param {HTMLCanvasElement} canvas
 * @param {import("./reader/columns.js").Landmarks | null} landmarks
 * @param {ImageBitmap} [picture] the film goes on while it is looked at
 */
export function skeleton(canvas, landmarks, picture) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  if (picture && (canvas.width !== picture.width || canvas.height !== picture.height)) {
    [canvas.width, canvas.height] = [picture.width, picture.height];
  }
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (picture) context.drawImage(picture, 0, 0);
  if (!landmarks) return;
  const unit = Math.min(canvas.width, canvas.height) / 160;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = COLOURS.body;
  context.fillStyle = COLOURS.body;
  context.lineWidth = unit;
  if (landmarks.pose) lines(context, landmarks.pose, 4, ARMS);
  if (landmarks.face) dots(context, landmarks.face, unit / 5);
  for (const part of /** @type {const} */ (["left_hand", "right_hand"])) {
    const points = landmarks[part];
    if (!points) continue;
    context.strokeStyle = context.fillStyle = COLOURS[part];
    context.lineWidth = 1.2 * unit;
    lines(context, points, 3, [...FINGERS, PALM]);
    context.fillStyle = "white";
    dots(context, points, 0.7 * unit);
  }
}
