/** Latency by what was asked for: of the last minute, as far as this page has been open; else in all. */
import { svg } from './charts.js'
import { amount, latency, quantile } from './format.js'
import { fillTable } from './tables.js'

const WINDOW_SECONDS = 60

function keyOf(sample) {
  return Object.values(sample.labels).join(' · ')
}

/** What was observed between two readings. */
function difference(sample, earlier) {
  if (earlier === undefined || earlier.count > sample.count) return sample
  return {
    ...sample,
    count: sample.count - earlier.count,
    counts: sample.counts.map((count, index) => count - (earlier.counts[index] ?? 0)),
  }
}

function boundText(bound) {
  return bound === undefined ? 'longer' : `≤ ${latency(bound)}`
}

/** A bar a bucket, from 1 µs to the longest that there is. */
function distribution({ counts, count }) {
  const own = counts.map((it, index) => it - (counts[index - 1] ?? 0))
  const top = Math.max(...own, count - (counts.at(-1) ?? 0), 1)
  const picture = svg('svg', { width: own.length * 6, height: 20, 'aria-hidden': 'true' })
  for (const [index, value] of own.entries()) {
    const height = value === 0 ? 0 : Math.max(1, (value / top) * 20)
    picture.append(
      svg('rect', { class: 'rail', x: index * 6, y: 19, width: 5, height: 1 }),
      svg('rect', { class: 'bar', x: index * 6, y: 20 - height, width: 5, height }),
    )
  }
  return picture
}

export class LatencyReadings {
  constructor() {
    /** Oldest first: when, and the samples by their labels. */
    this.readings = []
    this.run = undefined
  }

  show({ latency: family, at_ms: atMs, facts }) {
    const section = document.getElementById('latency-section')
    section.hidden = family === null
    if (family === null) return
    const seconds = atMs / 1000
    if (this.run !== facts.run) this.readings = []
    this.run = facts.run
    const samples = new Map(family.samples.map((sample) => [keyOf(sample), sample]))
    this.readings.push({ seconds, samples })
    while (this.readings.length > 2 && this.readings[1].seconds <= seconds - WINDOW_SECONDS) {
      this.readings.shift()
    }
    const [first] = this.readings
    const span = seconds - first.seconds
    const earlier = span > 0 ? first.samples : new Map()
    const rows = [...samples]
      .map(([key, sample]) => ({ key, ...difference(sample, earlier.get(key)) }))
      .filter(({ count }) => count > 0)
      .sort((a, b) => b.count - a.count)
    document.getElementById('latency-note').textContent =
      span > 0 ? `Of the last ${Math.round(span)} s; bounds are powers of two.` : 'Since the start.'
    fillTable('latency', columnsOf(family.bounds, span), rows)
  }
}

function columnsOf(bounds, span) {
  const at = (part) => (row) => boundText(quantile(bounds, row.counts, row.count, part))
  return [
    { head: 'request', of: ({ key }) => key },
    span > 0
      ? { head: 'a second', of: ({ count }) => amount(count / span) }
      : { head: 'in all', of: ({ count }) => amount(count) },
    { head: 'half', of: at(0.5) },
    { head: '99 %', of: at(0.99) },
    { head: '99.9 %', of: at(0.999) },
    { head: rangeText(bounds), of: distribution },
  ]
}

/** Of a server that has answered nothing yet there are no bounds. */
function rangeText(bounds) {
  return bounds.length === 0 ? '' : `${latency(bounds[0])} … ${latency(bounds.at(-1))}`
}
