/** A camera's frames, at their own times, become rows at the rate that a model with a state reads. */

/** Seconds by which a frame may be too early: clocks round. */
const EARLY = 1e-6;
/** Seconds without a frame after which nobody knows where the hand was. */
const GAP = 0.5;

/** Between two frames values are interpolated; what the nearer frame lacks is missing. */
export class FixedRate {
  /** @param {number} rate rows a second */
  constructor(rate) {
    this.rate = rate;
    this.given = 0;
    this.begin = 0;
    this.before = new Float32Array();
    this.at = -Infinity;
  }

  /**
   * The rows that are due up to a frame. A frame that is not later than the one before is left out.
   * @param {number} at in seconds
   * @param {Float32Array} row
   * @returns {Float32Array[]}
   */
  add(at, row) {
    if (at <= this.at) return [];
    if (!this.given) Object.assign(this, { begin: at, before: row, at });
    const found = [];
    for (let due; (due = this.begin + this.given / this.rate) <= at + EARLY; this.given++) {
      found.push(this.between(due, at, row));
    }
    Object.assign(this, { before: row, at });
    return found;
  }

  /** @param {number} due @param {number} at @param {Float32Array} row */
  between(due, at, row) {
    const span = at - this.at;
    const share = span <= 0 || due >= at - EARLY ? 1 : (due - this.at) / span;
    if (span > GAP && share < 1) return new Float32Array(row.length).fill(NaN);
    const [near, far] = share >= 0.5 ? [row, this.before] : [this.before, row];
    const part = Math.min(share, 1 - share);
    return near.map((x, i) => (Number.isNaN(far[i]) ? x : x + part * (far[i] - x)));
  }
}
