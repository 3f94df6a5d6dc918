/**
 * Plays every transcript against one kind of server: saslcached from dist/ with so many workers, whole
 * and cut into random pieces, or memcached (Debian's, or that of the environment variable MEMCACHED),
 * which shows that the transcripts are true. Each kind has a test file of its own, so that they run
 * side by side.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { hasPrerequisites } from '../support/program.ts'
import {
  MEMCACHED,
  MEMCACHED_PROGRAM,
  startMemcached,
  startSaslcached,
  type TestServer,
} from '../support/server.ts'
import { TestTls, TlsTunnel } from '../support/tls.ts'
import { type Answerer, parseTranscript, play, type Transcript } from './transcript.ts'

const CASES = join(import.meta.dirname, 'cases')
const USER = { name: 'alice', password: 's3cret' }
const SEED = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32))
const PIECE_BYTES_MAX = 12
/** What is about a server without TLS. */
const IN_THE_CLEAR: readonly string[] = ['there are no certificates to read again']
const files = readdirSync(CASES).filter((name) => name.endsWith('.txt'))
export const transcripts: readonly { name: string; transcript: Transcript }[] = files.map(
  (name) => ({
    name,
    transcript: parseTranscript(readFileSync(join(CASES, name), 'utf8')),
  }),
)

/** A generator of random numbers below 1 (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

async function start(
  isReference: boolean,
  threads: number,
  transcript: Transcript,
  more: readonly string[],
): Promise<TestServer> {
  const flags = ['-t', String(threads), ...transcript.flags, ...more]
  if (!isReference) return await startSaslcached({ flags, users: transcript.login ? [USER] : [] })
  if (!transcript.login) return await startMemcached({ flags })
  const file = join(mkdtempSync(join(tmpdir(), 'transcripts-')), 'users')
  writeFileSync(file, `${USER.name}:${USER.password}\n`)
  return await startMemcached({ flags: [...flags, '-Y', file] })
}

/** Which answers hold for the memcached at hand: those of 1.6.45, or of the older one. */
export function memcachedVersion(): Answerer {
  const { stdout } = spawnSync(MEMCACHED_PROGRAM, ['-V'], { encoding: 'utf8' })
  const patch = Number(/^memcached 1\.6\.(\d+)/.exec(stdout ?? '')?.[1] ?? 0)
  return patch >= 45 ? '1.6.45' : '1.6.18'
}

/**
 * How requests arrive. Bytes are put together by one connection, in one worker, so how many workers there
 * are cannot matter to that: one worker gets every case in both ways, two get every case in pieces,
 * four every case whole. TRANSCRIPTS=all plays all in both ways on each.
 */
export type Arrival = 'whole' | 'in pieces' | 'both'

export interface PlayOptions {
  /** Whole only; in pieces it is the record layer's business. */
  readonly isOverTls?: boolean
  readonly arrival?: Arrival
}

export function playAll(
  kind: 'saslcached' | 'memcached',
  threads: number,
  { isOverTls = false, arrival = 'both' }: PlayOptions = {},
): void {
  const playsAll = process.env.TRANSCRIPTS === 'all'
  const isReference = kind === 'memcached'
  const answerer: Answerer = isReference ? memcachedVersion() : 'saslcached'
  if (isReference && !hasPrerequisites('the reference of the transcripts', [MEMCACHED])) return
  for (const { name, transcript } of transcripts) {
    const how = `${isReference ? ` ${answerer}` : ''} with -t ${threads}${isOverTls ? ' -Z' : ''}`
    describe(`${name} on ${kind}${how}`, () => {
      let server: TestServer
      let tls: TestTls | undefined
      let tunnel: TlsTunnel | undefined
      beforeAll(async () => {
        tls = isOverTls ? new TestTls() : undefined
        server = await start(isReference, threads, transcript, tls?.server.flags ?? [])
        tunnel = isOverTls ? await TlsTunnel.to(server.port) : undefined
      })
      afterAll(async () => {
        tunnel?.close()
        tls?.remove()
        await server.stop()
      })
      const comesWhole = playsAll || arrival !== 'in pieces' || transcript.isWhole
      for (const [index, transcriptCase] of comesWhole ? transcript.cases.entries() : []) {
        if (isOverTls && IN_THE_CLEAR.includes(transcriptCase.name)) continue
        test(transcriptCase.name, async () => {
          const prefix = `t${index}.`
          await play(transcriptCase, server.host, (tunnel ?? server).port, { answerer, prefix })
        })
      }
      if (isReference || isOverTls || transcript.isWhole) return
      if (!playsAll && arrival === 'whole') return
      test(`all of it, cut into pieces (SEED=${SEED})`, { timeout: 120_000 }, async () => {
        const random = randomOf(SEED)
        for (const [index, transcriptCase] of transcript.cases.entries()) {
          try {
            await play(transcriptCase, server.host, server.port, {
              answerer,
              prefix: `p${index}.`,
              cut: (length) => {
                // A long request in tiny pieces is only slow.
                const most = length > 3000 ? length : PIECE_BYTES_MAX
                return Math.min(length, 1 + Math.floor(random() * most))
              },
            })
          } catch (cause) {
            throw new Error(`${transcriptCase.name}: ${String(cause)}`, { cause })
          }
        }
      })
    })
  }
}
