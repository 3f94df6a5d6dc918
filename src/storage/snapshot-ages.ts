/**
 * How long ago items were read, in classes: what a restore goes by that has room for a part of them. Hot path.
 *
 *     age in seconds    0  1  2  3 | 4  5  6  7 | 8..9  10..11  12..13  14..15 | 16..19 ...
 *     class             0  1  2  3 | 4  5  6  7 | 8     9       10      11     | 12     ...
 *
 * Invariant: a class is at most a quarter of its age wide, and a higher one is older.
 */

export const AGE_CLASSES = 128

/** `seconds` may be below 0, when clocks differ. */
export function ageClassOf(seconds: number): number {
  if (seconds < 4) return Math.max(seconds, 0)
  const shift = 29 - Math.clz32(seconds)
  return Math.min((shift + 1) * 4 + ((seconds >>> shift) & 3), AGE_CLASSES - 1)
}
