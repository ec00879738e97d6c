/** Frames as they come -> frames as a model was trained on them. */

/**
 * Frames a second of the phones that the competitions' clips are from. A browser finds landmarks in
 * fewer; a frame then stands for as many rows as time has passed. (The quickstart's score on 150
 * test clips: 0.849 as they are; a third of their frames 0.803, each of those three times 0.815.)
 */
export const RATE = 30;
/** Seconds after which a gap is a break. */
const BREAK = 0.5;

export class Clock {
  constructor() {
    this.reset();
  }

  reset() {
    /** @type {number | null} */
    this.due = null;
  }

  /**
   * How many rows the frame of this moment stands for.
   * @param {number} time in seconds
   */
  rows(time) {
    if (this.due === null || time - this.due > BREAK || time < this.due - BREAK) this.due = time;
    // Half a row early is on time: a camera's 30 a second tremble.
    const rows = Math.max(0, Math.floor((time - this.due) * RATE + 0.5) + 1);
    this.due += rows / RATE;
    return rows;
  }
}
