/** Repeats frames, so that a slow camera gives the frame rate that models were trained on. */

/**
 * Frames per second of the competitions' clips. If a browser finds landmarks more slowly, a frame
 * stands for the rows of the time that has passed. (The quickstart's score on 150 test clips is
 * 0.849; with every third frame 0.803; with every third frame repeated three times 0.815.)
 */
export const RATE = 30;
/** Seconds without a frame after which no rows are repeated. */
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
   * The number of rows that the frame of this moment stands for.
   * @param {number} time in seconds
   */
  rows(time) {
    if (this.due === null || time - this.due > BREAK || time < this.due - BREAK) this.due = time;
    // Half a row early is on time: a camera's frame rate varies.
    const rows = Math.max(0, Math.floor((time - this.due) * RATE + 0.5) + 1);
    this.due += rows / RATE;
    return rows;
  }
}
