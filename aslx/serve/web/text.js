/**
 * Turns a model's outputs into characters, and finds those that have settled.
 *
 * @typedef {{text: string, confidence: number}} Character
 */

/** Readings of a growing clip that have to agree before a character counts as settled. */
export const AGREE = 3;

/** The place of the largest value. @param {ArrayLike<number>} values */
export function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/**
 * Reads rows as the competition does: the largest value of each; an index past the answers is left
 * out.
 * @param {Float32Array} outputs rows one after the other
 * @param {string[]} answers characters by index; a row has one place more, for none
 * @returns {Character[]}
 */
export function characters(outputs, answers) {
  const width = answers.length + 1;
  const out = [];
  for (let i = 0; i < outputs.length; i += width) {
    const row = outputs.subarray(i, i + width);
    const best = argmax(row);
    if (best < answers.length) out.push({ text: answers[best], confidence: row[best] });
  }
  return out;
}

/** @param {Character[]} read */
export const plain = (read) => read.map((c) => c.text).join("");

/**
 * The number of characters at the start that the last readings have in common.
 * @param {Character[][]} readings of one clip as it grew, the newest last
 */
export function settled(readings) {
  if (readings.length < AGREE) return 0;
  const last = readings.slice(-AGREE);
  let n = 0;
  while (n < last[0].length && last.every((read) => read[n]?.text === last[0][n].text)) n += 1;
  return n;
}

/**
 * The number of edits that turn one text into the other (Levenshtein).
 * @param {string} one
 * @param {string} other
 */
export function distance(one, other) {
  const [a, b] = [[...one], [...other]]; // A character may be two of a string's units.
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length];
}
