/** The table of mechanisms: which there are, who can use them, what a log may say of a name. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeSnapshot } from '../../../src/credential/credential-snapshot.ts'
import { NO_TOKEN_KEYS } from '../../../src/credential/token-keys.ts'
import { SCRAM_HASH_NAMES } from '../../../src/credential/verifier.ts'
import { reportableMechanism } from '../../../src/sasl/mechanism-name.ts'
import {
  configuredMechanisms,
  findMechanism,
  MECHANISM_NAMES,
} from '../../../src/sasl/mechanisms.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { pipeAt } from '../../support/pipe.ts'
import { manualTokenLogins } from '../../support/token-logins.ts'
import { fixture, snapshotOf } from './fixture.ts'

const SRC = join(import.meta.dirname, '..', '..', '..', 'src')

test('a mechanism is usable when every user has its verifier', () => {
  const { users } = snapshotOf({ a: 'x', b: 'x' })
  const [a, b] = users.map(({ name, verifiers }) => ({
    name,
    verifiers: verifiers.filter((text) => name === 'a' || !text.includes('SHA-512')),
  }))
  const options = {
    decoyKey: Buffer.alloc(32),
    reportKey: Buffer.alloc(32),
    defaultShape: 'SCRAM-SHA-256$4096:16',
    hashes: SCRAM_HASH_NAMES,
  }
  const configured = configuredMechanisms(['PLAIN', 'SCRAM-SHA-512', 'SCRAM-SHA-1'])
  const usable = (of: typeof users): string[] => {
    const snapshot = makeSnapshot(of, options)
    return configured.filter((row) => row.usable(snapshot)).map(({ name }) => name)
  }
  expect(usable([a, b].flatMap((user) => user ?? []))).toEqual(['PLAIN', 'SCRAM-SHA-1'])
  expect(usable([])).toEqual(['PLAIN', 'SCRAM-SHA-512', 'SCRAM-SHA-1'])
})

test.each(MECHANISM_NAMES)('%s is found by its name, made, and named in logs', (name) => {
  const tokens = manualTokenLogins(new ManualClock(), NO_TOKEN_KEYS)
  const { environment } = fixture(snapshotOf({ alice: 'secret' }), { tokens })
  const row = findMechanism(name)
  expect(row?.name).toBe(name)
  const mechanism = row?.create(environment, pipeAt('192.0.2.1'), () => undefined)
  const step = mechanism?.next(Buffer.from([0xff]))
  // One of them has a challenge that the client acknowledges first.
  const last = mechanism?.refusal === undefined ? step : mechanism.next(Buffer.from('\u0001'))
  expect(last).toEqual({ kind: 'failure', reason: 'malformed' })
  expect(reportableMechanism(name)).toBe(name)
})

test('no name is in the table twice, and an unknown one is refused with those that are', () => {
  expect(new Set(MECHANISM_NAMES).size).toBe(MECHANISM_NAMES.length)
  expect(findMechanism('LOGIN')).toBeUndefined()
  expect(() => configuredMechanisms(['PLAIN', 'LOGIN'])).toThrow(
    `unknown mechanism LOGIN; known are ${MECHANISM_NAMES.join(', ')}`,
  )
})

/** Files that name a mechanism, and why they have to. */
const NAMED_IN: Readonly<Record<string, string>> = {
  'client/login.ts': 'what the client prefers, of those that it can do',
  'config/login-mechanisms.ts': 'EXTERNAL comes with its option, and beside what libsasl2 bears it',
  'config/oauth.ts': 'what is announced where tokens are taken, and what is not where none are',
  'config/options/login-options.ts': 'which are announced when nothing is configured is a choice',
  'config/options/tls-options.ts': 'a description says which one takes the user of a certificate',
  'connection/text-login.ts': 'a text login is one by PLAIN',
  'credential/credential-source.ts': 'the advice of an error',
  'credential/verifier.ts': 'the hashes, which their mechanisms are named after',
  'sasl/mechanisms.ts': 'the table',
  'server/http/basic-login.ts': 'HTTP basic is a login by PLAIN',
}

test('nothing but the table lists the names of mechanisms', () => {
  const literal = new RegExp(`['" ](?:${MECHANISM_NAMES.join('|')})['" ,]`)
  const naming = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => {
      const code = readFileSync(join(SRC, file), 'utf8').replaceAll(/^\s*(?:\/?\*|\/\/).*$/gm, '')
      return literal.test(code)
    })
  expect(naming.sort()).toEqual(Object.keys(NAMED_IN))
})
