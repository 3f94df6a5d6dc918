/** Numbers as the page writes them: three digits, and a unit that stays with its number. */

const NARROW = '\u202f'

/** @param {number} value */
function threeDigits(value) {
  if (value === 0) return '0'
  if (value < 0.1) return value.toPrecision(1)
  if (value < 0.995) return value.toFixed(2).replace(/0$/, '')
  if (value < 9.95) return value.toFixed(1).replace(/\.0$/, '')
  return String(Math.round(value))
}

function scaled(value, base, units) {
  let step = 0
  let rest = value
  // Of four digits the next unit makes three, also where it is 1024 of them.
  while (rest >= 999.5 && step < units.length - 1) {
    rest /= base
    step++
  }
  const digits = step > 0 && rest < 99.95 ? rest.toFixed(rest < 9.995 ? 2 : 1) : threeDigits(rest)
  const shown = digits.replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '')
  return units[step] === '' ? shown : `${shown}${NARROW}${units[step]}`
}

/** What happens a second, and amounts where three digits are enough. */
export function amount(value) {
  return scaled(value, 1000, ['', 'k', 'M', 'G', 'T'])
}

/** To the last digit. */
export function whole(value) {
  return Math.round(value).toLocaleString('en').replaceAll(',', NARROW)
}

export function bytes(value) {
  return scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB'])
}

/** Of a share from 0 to 1; undefined where there is nothing to divide by. */
export function percent(share) {
  if (share === undefined) return '–'
  const value = share * 100
  // What is not all must not look so.
  const digits = value >= 99.95 && value < 100 ? 2 : value < 10 || value > 99 ? 1 : 0
  return `${value.toFixed(value === 100 || value === 0 ? 0 : digits)}${NARROW}%`
}

/** A short time in seconds. */
export function latency(seconds) {
  if (seconds < 0.001) return `${threeDigits(seconds * 1e6)}${NARROW}µs`
  if (seconds < 1) return `${threeDigits(seconds * 1e3)}${NARROW}ms`
  return `${threeDigits(seconds)}${NARROW}s`
}

export function duration(seconds) {
  const total = Math.max(0, Math.floor(seconds))
  const parts = [
    [Math.floor(total / 86400), 'd'],
    [Math.floor(total / 3600) % 24, 'h'],
    [Math.floor(total / 60) % 60, 'min'],
    [total % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first < 0) return `0${NARROW}s`
  return parts
    .slice(first, first + 2)
    .map(([count, unit]) => `${count}${NARROW}${unit}`)
    .join(' ')
}

export function clockTime(ms) {
  return new Date(ms).toLocaleTimeString('en-GB')
}

/** A share, or undefined where nothing was counted. */
export function ratio(part, rest) {
  return part + rest > 0 ? part / (part + rest) : undefined
}

/**
 * The bound under which that part of all observations lies. `counts` are those at most `bounds`, lower
 * ones included; undefined: it is beyond the last bound.
 */
export function quantile(bounds, counts, total, part) {
  const index = counts.findIndex((count) => count >= total * part)
  return index < 0 ? undefined : bounds[index]
}

/** The least round number that is at least `value`, for the top of an axis. */
export function roundUp(value, base = 10) {
  if (value <= 0) return 1
  const steps = base === 2 ? [1, 2, 4, 8] : [1, 2, 2.5, 4, 5, 10]
  const power =
    base === 2 ? 16 ** Math.floor(Math.log2(value) / 4) : 10 ** Math.floor(Math.log10(value))
  const step = steps.find((it) => it * power >= value)
  return step === undefined ? 16 * power : step * power
}
