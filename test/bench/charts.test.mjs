/** The pictures of the bench, from results as run.mjs leaves them; and how far a run says it has come. */
import { describe, expect, test } from 'vitest'
import { chartOf } from './charts.mjs'
import { Progress } from './progress.mjs'
import { printedTogether, verdictOf } from './report.mjs'

/** Every element is closed, in order, and no text has a bare bracket. */
function expectWellFormed(svg) {
  const open = []
  for (const [, end, name, closed] of svg.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)) {
    if (end === '/') expect(open.pop()).toBe(name)
    else if (closed !== '/') open.push(name)
  }
  expect(open).toEqual([])
  expect(svg.replaceAll(/<\/?[a-z]+[^<>]*>/g, '')).not.toMatch(/[<>]|&(?!amp;|lt;|gt;)/)
}

const server = (name, isJudged, cpuUs, slowestUs = []) => ({
  name,
  isJudged,
  median: { cpuUs },
  rounds: [{ printed: { slowestUs } }],
})

const cpuResult = (name, median, isReached) => ({
  name,
  load: {},
  ratio: { median, least: median - 0.1, most: median + 0.1 },
  verdicts: [{ judge: { figure: 'cpuUs', of: 'ratio', most: 0.5 }, isReached }],
  servers: [server('memcached', false, 2), server('saslcached', true, 2 * median)],
})

describe('a chart', () => {
  test('of CPU has a bar as long as the ratio a case, and says what was missed', () => {
    const svg = chartOf([cpuResult('x50 <a & b>', 0.25, true), cpuResult('x1', 1, false)])
    expectWellFormed(svg)
    expect(svg).toContain('x50 &lt;a &amp; b&gt;')
    expect(svg).toContain('0.50 of 2.00 us, aim 0.5<')
    expect(svg).toContain('2.00 of 2.00 us, aim 0.5: missed')
    expect(svg).toContain('Mean of 2 cases: 0.63.')
    const widths = [...svg.matchAll(/class="(?:bar|missed)".* width="([\d.]+)"/g)].map((match) =>
      Number(match[1]),
    )
    expect(widths[1] / widths[0]).toBeCloseTo(4, 1)
  })

  test('of misses has a panel a workload, with a line for each server that took part', () => {
    const size = (workload, memoryMib, memcached, saslcached) => ({
      workload,
      memoryMib,
      leastMissRatio: 0.1,
      servers: {
        ...(memcached === undefined ? {} : { memcached: { missRatio: memcached } }),
        saslcached: { missRatio: saslcached },
      },
    })
    const svg = chartOf([
      size('one', 32, 0.4, 0.3),
      size('one', 16, 0.5, 0.35),
      size('two', 16, 0.5, 0.2),
      size('two', 32, 0.5, 0.2),
    ])
    expectWellFormed(svg)
    for (const [name, count] of [
      ['theirs', 2],
      ['ours', 2],
      ['least', 2],
    ]) {
      // The legend has one of each besides.
      expect(svg.match(new RegExp(`<path class="${name}"`, 'g'))).toHaveLength(count + 1)
    }
    // From the smaller memory to the larger, and down as the misses get fewer.
    const [, x1, y1, x2, y2] =
      /class="ours" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"\/>\n<text/.exec(
        svg.slice(svg.indexOf('>one<')),
      )
    expect(Number(x2)).toBeGreaterThan(Number(x1))
    expect(Number(y2)).toBeGreaterThan(Number(y1))
    expectWellFormed(chartOf([size('alone', 16, undefined, 0.2)]))
  })

  test('of latency shows the slowest reply of each second', () => {
    const svg = chartOf([
      {
        name: 'longest-stall',
        load: { rate: 1000 },
        verdicts: [],
        servers: [
          server('memcached', false, 1, [1000, 10_000]),
          server('saslcached', true, 1, [100, 2_000_000]),
        ],
      },
    ])
    expectWellFormed(svg)
    expect(svg).toContain('>10 ms<')
    expect(svg).toContain('>10 s<')
    expect(svg).toContain('>2 s<')
  })

  test('of a set with loads of both kinds is that of CPU', () => {
    const timed = {
      ...cpuResult('half-load', 1, true),
      load: { rate: 1000 },
      verdicts: [{ judge: { figure: 'latencyP99Us', of: 'ratio', most: 1.5 }, isReached: true }],
      servers: [server('memcached', false, 1, [1000]), server('saslcached', true, 1, [1000])],
    }
    const svg = chartOf([cpuResult('x50', 0.25, true), timed])
    expect(svg).toContain('>x50<')
    expect(svg).not.toContain('half-load')
  })

  test('there is none where nothing was compared', () => {
    expect(chartOf([])).toBeNull()
    const alone = { name: 'x1', load: {}, ratio: null, verdicts: [], servers: [] }
    expect(chartOf([alone])).toBeNull()
  })
})

test('several generators on one server count as one: requests are added, of latencies the worst stands', () => {
  const printed = (requests, max, slowestUs) => ({
    requests,
    requestsPerSecond: requests / 2,
    refusals: 1,
    latencyUs: { p50: max / 2, max },
    sendLateUs: max / 10,
    slowestUs,
    serverCpuSeconds: 3,
    serverRssKib: 100 + requests,
    generatorCpuShare: 0.2,
    generatorCpuSecondsInAll: 1,
  })
  const [small, large] = [printed(1000, 50, [50, 10, 5]), printed(500, 400, [20, 400])]
  expect(printedTogether([small])).toBe(small)
  expect(printedTogether([small, large])).toMatchObject({
    requests: 1500,
    requestsPerSecond: 750,
    refusals: 2,
    latencyUs: { p50: 200, max: 400 },
    sendLateUs: 40,
    slowestUs: [50, 400, 5],
    serverCpuUsPerRequest: 2000,
    serverRssKib: 1100,
    generatorCpuShare: 0.4,
    generatorCpuSecondsInAll: 2,
  })
})

test('what the other server did, too, is excused where the bound says so', () => {
  const judge = { figure: 'latencyMaxMs', of: 'value', most: 10 }
  const verdict = (ours, theirs, orTheirs) =>
    verdictOf(
      { ...judge, orTheirs },
      [{ latencyMaxMs: ours }],
      theirs === null ? null : [{ latencyMaxMs: theirs }],
    ).isReached
  expect(verdict(9, 1, true)).toBe(true)
  expect(verdict(20, 25, true)).toBe(true)
  expect(verdict(20, 15, true)).toBe(false)
  expect(verdict(20, 25, undefined)).toBe(false)
  expect(verdict(20, null, true)).toBe(false)
})

test('a long run says which part of how many has begun, and how long the rest will take', () => {
  const progress = new Progress(4)
  expect(progress.line('first', 0)).toBe('[1/4] first')
  progress.begin('first')
  const began = performance.now()
  expect(progress.line('second', began + 60_000)).toBe('[2/4] second (about 3 min left)')
  expect(progress.line('second', began + 5000)).toBe('[2/4] second (less than a minute left)')
})
