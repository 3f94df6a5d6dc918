/** `saslcached ping` and `saslcached bench`. */
import { counted } from '../../base/counted.ts'
import { EXIT_CONFIG, EXIT_OK } from '../../base/exit-code.ts'
import { formatAddress } from '../../client/address.ts'
import {
  type BenchLoad,
  type BenchResult,
  benchPrefix,
  LEFT_SECONDS,
  runBench,
} from '../../client/bench.ts'
import { openSession } from '../../client/connect.ts'
import type { LatencyHistogram } from '../../client/latency-histogram.ts'
import { printable } from '../../client/printable.ts'
import { formatGrid } from '../../client/stat-table.ts'
import { CommandFailure } from '../io.ts'
import { type ClientCommand, type ClientContext, numberOf, secondsOf } from './client-command.ts'

const QUANTILES: readonly (readonly [name: string, quantile: number])[] = [
  ['p50', 0.5],
  ['p90', 0.9],
  ['p99', 0.99],
  ['p99.9', 0.999],
]

export const PING_COMMAND: ClientCommand = {
  operandsMax: 0,
  declare: (command) => {
    command.option('--count <number>', 'how many round trips', '4')
  },
  examples: [
    ['ping', 'four round trips; needs no login'],
    ['ping --count 1 --json', 'exit code 0: it answers'],
  ],
  run: async (context) => {
    const { target, output, isJson } = context
    const count = numberOf(context, 'count', { flag: '--count', min: 1, max: 10_000 })
    const beganMs = performance.now()
    const session = await openSession(target)
    const connectMs = performance.now() - beganMs
    const trips: number[] = []
    let version = ''
    try {
      for (let index = 0; index < count; index++) {
        const sentMs = performance.now()
        version = await session.version()
        trips.push(performance.now() - sentMs)
      }
    } finally {
      session.close()
    }
    const minMs = Math.min(...trips)
    const maxMs = Math.max(...trips)
    const meanMs = trips.reduce((sum, ms) => sum + ms, 0) / count
    const server = formatAddress(target.address)
    if (isJson) {
      const rounded = Object.fromEntries(
        Object.entries({ connectMs, minMs, meanMs, maxMs }).map(([name, ms]) => [
          name.replace('Ms', '_ms'),
          Number(ms.toFixed(3)),
        ]),
      )
      await output.json({ server, version, count, ...rounded })
    } else {
      const times = [minMs, meanMs, maxMs].map((ms) => ms.toFixed(3)).join('/')
      const who = session.isLoggedIn ? 'connected and logged in' : 'connected'
      await output.line(`${printable(server)}: version ${printable(version)}`)
      await output.line(`${who} in ${connectMs.toFixed(1)} ms`)
      await output.line(`${counted(count, 'round trip')}, min/mean/max ${times} ms`)
    }
    return EXIT_OK
  },
}

export const BENCH_COMMAND: ClientCommand = {
  operandsMax: 0,
  declare: (command) => {
    command
      .option('--connections <number>', 'up to 256', '4')
      .option('--pipeline <number>', 'requests under way on each, up to 256', '1')
      .option('--seconds <number>', 'how long, up to 300', '5')
      .option('--value-size <bytes>', 'up to 1 MiB', '100')
      .option('--keys <number>', 'how many keys, up to 100000', '1000')
      .option('--ratio <gets:sets>', 'of requests', '9:1')
  },
  examples: [
    ['bench', 'five seconds, four connections'],
    ['bench --connections 16 --pipeline 8 --ratio 1:1', 'more of it'],
  ],
  run: async (context) => {
    const { target, output, isJson } = context
    const load = loadOf(context)
    const abort = new AbortController()
    const stop = (): void => abort.abort()
    const stopSignals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']
    for (const signal of stopSignals) process.once(signal, stop)
    try {
      const result = await runBench(load, {
        open: () => openSession(target),
        prefix: benchPrefix(),
        nowMs: () => performance.now(),
        random: Math.random,
        interrupted: abort.signal,
      })
      if (isJson) await output.json(resultJson(load, result))
      else await output.line(formatResult(load, result).join('\n'))
      return EXIT_OK
    } finally {
      for (const signal of stopSignals) process.off(signal, stop)
    }
  },
}

function loadOf(context: ClientContext): BenchLoad {
  const number = (name: string, flag: string, min: number, max: number): number =>
    numberOf(context, name, { flag, min, max })
  const [, gets = '', sets = ''] = /^(\d{1,4}):(\d{1,4})$/.exec(String(context.options.ratio)) ?? []
  const sum = Number(gets) + Number(sets)
  if (gets === '' || sum === 0) {
    throw new CommandFailure('--ratio is not two numbers such as 9:1', EXIT_CONFIG)
  }
  return {
    connections: number('connections', '--connections', 1, 256),
    pipeline: number('pipeline', '--pipeline', 1, 256),
    seconds: secondsOf(context, 'seconds', { flag: '--seconds', min: 0.1, max: 300 }),
    valueBytes: number('valueSize', '--value-size', 0, 1024 * 1024),
    keyCount: number('keys', '--keys', 1, 100_000),
    getsOfThousand: (Number(gets) / sum) * 1000,
  }
}

function formatResult(load: BenchLoad, result: BenchResult): string[] {
  const { get, set, seconds, misses, notStored, leftKeys } = result
  const total = get.count + set.count
  const head = ['', 'requests', 'requests/s', ...QUANTILES.map(([name]) => name), 'max']
  const row = (name: string, histogram: LatencyHistogram): string[] => [
    name,
    String(histogram.count),
    String(Math.round(histogram.count / seconds)),
    ...QUANTILES.map(([, quantile]) => formatMs(histogram.quantileUs(quantile))),
    formatMs(histogram.maxUs),
  ]
  return [
    `${counted(load.connections, 'connection')}, ${counted(load.pipeline, 'request')} under way on each, ${counted(load.valueBytes, 'byte')}, ${seconds.toFixed(1)} s`,
    ...formatGrid([head, row('get', get), row('set', set)]),
    `${Math.round(total / seconds)} requests/s; times in ms; ${counted(misses, 'miss', 'misses')}, ${notStored} not stored`,
    ...(leftKeys === 0 ? [] : [formatLeft(leftKeys)]),
  ]
}

function formatLeft(leftKeys: number): string {
  return `warning: ${counted(leftKeys, 'key')} could not be deleted (has this user the right delete?); what is left expires within ${LEFT_SECONDS / 60} minutes`
}

function resultJson(load: BenchLoad, result: BenchResult): Record<string, unknown> {
  const side = (histogram: LatencyHistogram): Record<string, unknown> => ({
    requests: histogram.count,
    ...Object.fromEntries(
      QUANTILES.map(([name, quantile]) => [
        `${name}_us`,
        Math.round(histogram.quantileUs(quantile)),
      ]),
    ),
    max_us: Math.round(histogram.maxUs),
  })
  const { seconds, misses, notStored, leftKeys, get, set } = result
  return {
    connections: load.connections,
    pipeline: load.pipeline,
    value_bytes: load.valueBytes,
    seconds: Number(seconds.toFixed(3)),
    requests_per_second: Math.round((get.count + set.count) / seconds),
    get: side(get),
    set: side(set),
    misses,
    not_stored: notStored,
    left_keys: leftKeys,
  }
}

function formatMs(microseconds: number): string {
  return (microseconds / 1000).toFixed(3)
}
