/**
 * Tests of the driver over sockets and of the verdict on its figures. As with load.c, each lie that
 * would change a miss ratio is told by a small server of our own, and must be noticed.
 */
import { describe, expect, test } from 'vitest'
import { driveServer } from './cache-driver.mjs'
import { withServer } from './fake-server.mjs'
import { ENGINE_LOADS_GOAL, formatMissRatios, judgeRatios } from './miss-ratio.mjs'
import { leastMisses, Trace, workloadOf } from './traces.mjs'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const RUN = { login: null, warm: 1000, requests: 4000, requestsPerSecond: null, slowness: 1 }
const workload = workloadOf('cluster52')

const drive = (port, run = {}) => driveServer(new Trace(workload, SEED), { ...RUN, ...run, port })

describe('the driver over sockets', () => {
  test('counts the reads after the warm-up, and no fewer misses than nobody can avoid', () =>
    withServer({}, async (port) => {
      console.log(`SEED=${SEED}`)
      const least = leastMisses(workload, SEED, RUN.warm, RUN.requests - RUN.warm)
      const { reads, misses, refusedSets } = await drive(port)
      expect(reads).toBe(least.reads)
      expect(refusedSets).toBe(0)
      expect(misses).toBeGreaterThanOrEqual(least.misses)
      expect(misses).toBeLessThan(reads)
    }))

  test('counts a miss for every read of a server that forgets', () =>
    withServer({ forgets: true }, async (port) => {
      const { reads, readBytes, misses, missedBytes } = await drive(port)
      expect(misses).toBe(reads)
      expect(missedBytes).toBe(readBytes)
      expect(readBytes).toBeGreaterThan(reads)
    }))

  test('splits the fills of large values over batches when all of a batch missed', () =>
    withServer({ forgets: true }, async (port) => {
      const large = new Trace(workloadOf('cluster37'), SEED)
      const { reads, misses } = await driveServer(large, { ...RUN, port, requests: 3000 })
      expect(misses).toBe(reads)
    }))

  test('understands replies cut at any place', () => {
    console.log(`SEED=${SEED}`)
    const whole = withServer({}, (port) => drive(port, { login: null }))
    let state = SEED
    const pieceBytes = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return 1 + (state % 40)
    }
    const pieces = withServer({ pieceBytes }, (port) => drive(port))
    return Promise.all([whole, pieces]).then(([one, other]) => expect(other.reads).toBe(one.reads))
  })

  test('logs in first, and a refused login ends the run', () =>
    withServer({}, async (port) => {
      const right = await drive(port, { login: { user: 'bench', password: 'word' } })
      expect(right.reads).toBeGreaterThan(2000)
      const wrong = drive(port, { login: { user: 'bench', password: 'sword' } })
      await expect(wrong).rejects.toThrow(/login refused/)
    }))

  test('keeps the pace of a stream, and takes longer by its slowness', () =>
    withServer({}, async (port) => {
      const paced = await drive(port, { requestsPerSecond: 20_000, slowness: 2 })
      expect(paced.seconds).toBeGreaterThan(0.39)
    }))

  const change = (at, difference) => (reply) => {
    const changed = Buffer.from(reply)
    changed[at] ^= difference
    return changed
  }
  const lies = [
    ['another magic', change(0, 0x01), /wrong reply to a get/],
    ['another opcode', change(1, 0x04), /wrong reply to a get/],
    ['another status', change(7, 0x05), /wrong reply to a get/],
    ['another opaque', change(15, 0x01), /wrong reply to a get/],
    ['the flags of another key', change(27, 0x01), /wrong reply to a get/],
    ['a value of another length', change(11, 0x01), /wrong reply to a get/],
    ['a closed connection', () => null, /closed by the server/],
  ]

  test.each(lies)('refuses %s', (_, tell, words) => {
    let isTold = false
    const spoil = (reply, request) => {
      if (isTold || request.isSet || reply.length < 60) return reply
      isTold = true
      return tell(reply)
    }
    return withServer({ spoil }, async (port) => {
      await expect(drive(port)).rejects.toThrow(words)
      expect(isTold).toBe(true)
    })
  })

  test('a set that is refused for want of memory is counted, and another refusal ends the run', async () => {
    const refusal = (status) => (reply, request, number) => {
      if (!request.isSet || number % 10 !== 0) return reply
      const refused = Buffer.from(reply)
      refused.writeUInt16BE(status, 6)
      return refused
    }
    const { refusedSets } = await withServer({ spoil: refusal(0x82) }, (port) => drive(port))
    expect(refusedSets).toBeGreaterThan(0)
    const other = withServer({ spoil: refusal(0x03) }, (port) => drive(port))
    await expect(other).rejects.toThrow(/wrong reply to a set/)
  })
})

describe('the verdict', () => {
  const result = (workloadName, memoryMib, theirs, ours, evictions = 1) => ({
    workload: workloadName,
    memoryMib,
    leastMissRatio: 0.1,
    servers: {
      memcached: { missRatio: theirs, rssMib: 20.4, evictions },
      saslcached: { missRatio: ours, rssMib: 90.6 },
    },
    ratio: ours / theirs,
    bytesRatio: ours / theirs + 0.25,
  })

  test('wants fewer misses in each, and a fifth fewer on average', () => {
    const good = [result('one', 16, 0.4, 0.2), result('one', 32, 0.2, 0.19)]
    expect(judgeRatios(good)).toMatchObject({ worse: [], isReached: true })
    expect(judgeRatios([...good, result('two', 16, 0.2, 0.2)])).toMatchObject({
      worse: ['two at 16 MiB (1.00)'],
      isReached: false,
    })
    expect(judgeRatios([result('one', 16, 0.2, 0.17)]).isReached).toBe(false)
    expect(judgeRatios([{ ...good[0], ratio: null }]).isReached).toBeNull()
  })

  test('of the engine loads wants a bound in each, and judges none that memcached holds whole', () => {
    const good = [result('one', 16, 0.4, 0.2), result('one', 32, 0.2, 0.184)]
    const verdictOf = (...more) => judgeRatios([...good, ...more], ENGINE_LOADS_GOAL)
    expect(verdictOf().isReached).toBe(true)
    expect(verdictOf(result('two', 16, 0.2, 0.186))).toMatchObject({
      worse: ['two at 16 MiB (0.93)'],
      isReached: false,
    })
    const whole = verdictOf(result('two', 64, 0.2, 0.2, 0))
    expect(whole).toMatchObject({ worse: [], leftOut: ['two at 64 MiB (1.00)'], isReached: true })
    expect(whole.mean).toBeCloseTo(verdictOf().mean)
    expect(judgeRatios([result('two', 64, 0.2, 0.2, 0)], ENGINE_LOADS_GOAL).isReached).toBeNull()
  })

  test('the table shows both ratios, theirs to ours, and the memory of both', () => {
    const lines = formatMissRatios([result('one', 16, 0.4, 0.2), result('one', 32, 0.2, 0.19)])
    expect(lines.split('\n')).toHaveLength(4)
    expect(lines).toMatch(
      /\none +16 +0\.4000 +0\.2000 +0\.50 +0\.75 +0\.1000 +20 \/ 91\n +32 +0\.2000/,
    )
  })
})
