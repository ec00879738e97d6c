/**
 * Turns a model's outputs into characters, and finds those that have settled.
 *
 * @typedef {{text: string, confidence: number}} Character
 */

/** Stands between two phrases. @type {Character} */
export const SPACE = { text: " ", confidence: 1 };
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

/**
 * All that is read, in one row; a space stands between what stays and what is being read.
 * @param {{done: Character[], characters?: Character[], words?: boolean}} shown
 * @returns {Character[]}
 */
export function items({ done, characters = [], words }) {
  const gap = done.length && characters.length && !words ? [SPACE] : [];
  return [...done, ...gap, ...characters];
}

/** The same as text. @param {{done: Character[], characters?: Character[], words?: boolean}} shown */
export const text = (shown) =>
  items(shown)
    .map((item) => item.text)
    .join(shown.words ? " " : "");

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
