/**
 * The same random requests to saslcached and to memcached, whose answers must be the same. Beside
 * Debian's memcached what is known to be so there; with MEMCACHED=/path/to/memcached (1.6.45 or later)
 * all of reference-requests.ts. REQUESTS=n for more of them, SEED=n to repeat.
 */
import { connect } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { requestFrame } from '../support/binary-frames.ts'
import { hasPrerequisites } from '../support/program.ts'
import { MEMCACHED, startMemcached, startSaslcached, type TestServer } from '../support/server.ts'
import { memcachedVersion, randomOf } from '../transcripts/play-all.ts'
import { Requests } from './reference-requests.ts'

const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
const REQUESTS = Number(process.env.REQUESTS ?? 6000)
const BATCH = 60
/**
 * memcached's own threads hold an item now and then, and a number in it is then not padded: what is
 * the same in one of several tries, each with keys of its own, is the same.
 */
const ATTEMPTS_MAX = 3

/** What a chunk ends in, so that its answers leave before the next chunk is read. */
const TEXT_FLUSH = Buffer.from('mn\r\n')
const NOOP_OPAQUE = 0xfeedbeef
const NOOP = requestFrame({ opcode: 0x0a, opaque: NOOP_OPAQUE })
const NOOP_ANSWER = '810a00000000000000000000feedbeef0000000000000000'

/**
 * Sends the requests and half-closes; resolves with all that came until the server closed, too.
 * memcached does not pad a number that an answer still under way refers to, so each request is over
 * before the next: in text a meta noop sends all answers, in binary the answer is waited for.
 */
async function exchange(
  server: TestServer,
  requests: readonly Buffer[],
  isBinary: boolean,
): Promise<Buffer> {
  const socket = connect({ host: server.host, port: server.port, allowHalfOpen: true })
  let answer = Buffer.alloc(0)
  let hasEnded = false
  let wake = (): void => undefined
  socket.on('data', (chunk: Buffer) => {
    answer = Buffer.concat([answer, chunk])
    wake()
  })
  // A server that closes with bytes unread resets; what it said before is here.
  socket.on('error', () => undefined)
  socket.once('end', () => socket.destroy())
  const ended = new Promise<void>((resolve) => {
    socket.once('close', () => {
      hasEnded = true
      wake()
      resolve()
    })
  })
  if (isBinary) {
    for (const request of requests) {
      const from = answer.length
      socket.write(Buffer.concat([request, NOOP]))
      const isAnswered = (): boolean =>
        answer.length >= from + 24 && answer.toString('hex').endsWith(NOOP_ANSWER)
      while (!hasEnded && !isAnswered()) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      if (hasEnded) break
    }
    socket.end()
  } else {
    socket.end(Buffer.concat(requests.flatMap((request) => [request, TEXT_FLUSH])))
  }
  await ended
  return answer
}

/** Text answers without what hangs on the moment or on the server. */
function settledText(answer: Buffer): string {
  return (
    answer
      .toString('latin1')
      .replace(/^(VALUE \S+ \d+ \d+) \d+\r$/gm, '$1 *\r')
      .replace(/ c(\d+)/g, (found, digits: string) =>
        digits.length < 10 && digits !== '0' ? ' c*' : found,
      )
      .replace(/ t(\d+)/g, (_, digits: string) => ` t${Math.ceil(Number(digits) / 100)}`)
      .replace(/^ME (\S+) .*$/gm, 'ME $1\r')
      // memcached forgets both when a number gets longer (differs on purpose: longer-number).
      .replace(/ h[01]/g, ' h*')
      .replace(/( [WXZ])+\r/g, '\r')
  )
}

/** Binary answers with every CAS that is one set to 1. */
function settledFrames(answer: Buffer): string {
  const frames: string[] = []
  for (let at = 0; at + 24 <= answer.length; at += 24 + answer.readUInt32BE(at + 8)) {
    const end = at + 24 + answer.readUInt32BE(at + 8)
    const cas = answer.readBigUInt64BE(at + 16) === 0n ? 0n : 1n
    const frame = Buffer.from(answer.subarray(at, end))
    frame.writeBigUInt64BE(cas, 16)
    frames.push(frame.toString('hex'))
  }
  return frames.join('\n')
}

test.runIf(hasPrerequisites('the reference of the fuzz', [MEMCACHED]))(
  `memcached ${memcachedVersion()} answers the same (SEED=${SEED})`,
  { timeout: 600_000 },
  async () => {
    const ours = await startSaslcached({ flags: ['-t', '2'] })
    const reference = await startMemcached({ flags: ['-t', '1'] })
    onTestFinished(async () => {
      await ours.stop()
      await reference.stop()
    })
    const older = memcachedVersion() !== '1.6.45'
    for (let batch = 0; batch * BATCH < REQUESTS; batch++) {
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        const random = randomOf(SEED + batch)
        const prefix = (batch * ATTEMPTS_MAX + attempt).toString(36).padStart(4, '0')
        const requests = new Requests({ random, older, prefix })
        const isBinary = random() < 0.3
        const made = Array.from({ length: BATCH }, () =>
          isBinary ? requests.frame() : Buffer.from(requests.text(), 'latin1'),
        )
        const settle = isBinary ? settledFrames : settledText
        const answers = await Promise.all([
          exchange(ours, made, isBinary),
          exchange(reference, made, isBinary),
        ])
        const [answer = '', wanted = ''] = answers.map(settle)
        if (answer === wanted) break
        if (attempt + 1 < ATTEMPTS_MAX) continue
        const sent = made.map((one) => JSON.stringify(one.toString('latin1'))).join('\n')
        expect(answer, `batch ${batch} of SEED=${SEED}:\n${sent}`).toBe(wanted)
      }
    }
  },
)
