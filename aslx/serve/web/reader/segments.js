/**
 * Finds the words in a stream of frames: from a raised hand until the hands rest.
 *
 * @typedef {import("./columns.js").Landmarks} Landmarks
 */

/** Seconds without a raised hand that end a word: trackers lose a hand for some frames. */
export const REST = 0.8;
/** The least frames with a raised hand of a word; fewer are an error of the tracker. */
export const LEAST = 4;

const ELBOW = { left_hand: 13, right_hand: 14 };

/**
 * Whether a hand signs: the hand is seen, and its wrist is not below the elbow.
 * @param {Landmarks} landmarks
 * @returns {boolean}
 */
export function raised(landmarks) {
  return /** @type {const} */ (["left_hand", "right_hand"]).some((hand) => {
    const points = landmarks[hand];
    if (!points) return false;
    const elbow = landmarks.pose?.[ELBOW[hand] * 4 + 1];
    return elbow === undefined || points[1] < elbow;
  });
}

/**
 * Collects frames into the clip that is being signed.
 * @template Row
 */
export class Segments {
  /** @param {number} most frames of a clip; a longer one is cut */
  constructor(most) {
    this.most = most;
    /** @type {Row[]} */
    this.clip = [];
    this.up = 0; // Frames of the clip with a raised hand,
    this.end = 0; // the last of them,
    this.last = -Infinity; // and when that was.
  }

  reset() {
    Object.assign(this, new Segments(this.most));
  }

  /**
   * @param {Row} row
   * @param {boolean} up whether a hand is raised in it
   * @param {number} time in seconds
   * @returns {{ended: Row[] | null, clip: Row[]}} the clip that ended with this frame, whole, and
   *   the one that goes on
   */
  push(row, up, time) {
    if (up) {
      this.last = time;
      this.up += 1;
    }
    if (up || this.clip.length) this.clip.push(row);
    if (up) this.end = this.clip.length;
    if (!this.clip.length) return { ended: null, clip: [] };
    if (time - this.last < REST && this.clip.length < this.most) return { ended: null, clip: this.clip };
    return { ended: this.close(), clip: [] };
  }

  /** Ends the clip as if the hands rested. @returns {Row[] | null} */
  close() {
    // Without the frames in which the hands rest.
    const ended = this.up >= LEAST ? this.clip.slice(0, this.end) : null;
    this.reset();
    return ended;
  }
}
