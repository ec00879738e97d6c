/** Practice: a word to spell or to sign, whether it was right, and the score. */

const WORDS = (
  "hello water house green apple river music train light happy table bread smile paper cloud stone " +
  "garden window summer orange friend school coffee winter yellow bridge market silver family " +
  "blue fish bird moon rain snow tree milk king gold book ball door lamp"
).split(" ");

/**
 * The words to ask for: those that the model's characters can spell, else its letters one by one; or
 * its classes.
 * @param {string[]} answers
 * @param {boolean} spelled whether answers are characters, one of which follows the other
 */
export function words(answers, spelled) {
  if (!spelled) return answers.filter((name) => !/^(nothing|no[ _]?action|none|idle)$/i.test(name));
  const known = new Set(answers.map((c) => c.toLowerCase()));
  const spelt = WORDS.filter((word) => [...word].every((c) => known.has(c)));
  return spelt.length ? spelt : answers.filter((c) => /\p{L}/u.test(c));
}

/** @param {string} text */
const normal = (text) => text.toLowerCase().trim().replace(/\s+/g, " ");

export class Practice {
  /**
   * @param {string[]} words
   * @param {() => number} [random] in 0..1
   */
  constructor(words, random = Math.random) {
    this.words = words;
    this.random = random;
    this.right = this.tried = this.streak = 0;
    this.word = "";
    this.next();
  }

  /** A word other than the last one. */
  next() {
    const others = this.words.filter((word) => word !== this.word);
    this.word = others[Math.floor(this.random() * others.length)] ?? this.words[0] ?? "";
    this.done = false;
    return this.word;
  }

  /**
   * The number of characters at the start of the word that a text has.
   * @param {string} text
   */
  begun(text) {
    const said = normal(text);
    const word = normal(this.word);
    let n = 0;
    while (n < word.length && said[n] === word[n]) n += 1;
    return n;
  }

  /**
   * @param {string} text
   * @param {boolean} whole whether it is all: what is wrong then counts
   * @returns {{right: boolean, edits: number} | null} null where it may still come right, or is done
   */
  check(text, whole) {
    if (this.done) return null;
    const edits = distance(normal(text), normal(this.word));
    const right = edits === 0;
    if (!right && !whole) return null;
    this.tried += 1;
    this.right += right ? 1 : 0;
    this.streak = right ? this.streak + 1 : 0;
    this.done = right;
    return { right, edits };
  }
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
