import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { peerCertificate } from '../../../src/credential/peer-certificate.ts'
import {
  makeSelfSigned,
  problemWithDays,
  problemWithHost,
} from '../../../src/credential/self-signed.ts'
import { writePair } from '../../../src/credential/self-signed-files.ts'

const DAY_MS = 86_400_000
const NOW_MS = Date.now()

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'saslcached-self-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const at = (name: string): string => join(directory, name)
const PATHS = (): { certificateFile: string; keyFile: string } => ({
  certificateFile: at('tls.crt'),
  keyFile: at('tls.key'),
})

test('openssl takes the certificate for what it says it is', () => {
  const pair = makeSelfSigned({
    hosts: ['localhost', '*.Shop.example', '192.0.2.7', '2001:db8::1'],
    days: 30,
    nowMs: NOW_MS,
  })
  writeFileSync(at('tls.crt'), pair.certificate)
  const verify = ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', at('tls.crt')]
  for (const asked of [
    ['-verify_hostname', 'localhost'],
    ['-verify_hostname', 'eu.shop.example'],
    ['-verify_ip', '192.0.2.7'],
    ['-verify_ip', '2001:db8::1'],
  ]) {
    const { stdout, stderr } = spawnSync('openssl', [...verify, ...asked, at('tls.crt')], {
      encoding: 'utf8',
    })
    expect([asked, stdout, stderr]).toEqual([asked, `${at('tls.crt')}: OK\n`, ''])
  }
  const other = spawnSync('openssl', [...verify, '-verify_hostname', 'x', at('tls.crt')])
  expect(other.status).not.toBe(0)
})

test('node takes it, and its key fits', () => {
  const pair = makeSelfSigned({ hosts: ['cache'], days: 1, nowMs: NOW_MS })
  const x509 = new X509Certificate(pair.certificate)
  expect(x509.verify(x509.publicKey)).toBe(true)
  expect(x509.ca).toBe(false)
  expect(Date.parse(x509.validTo)).toBe(Math.floor((NOW_MS + DAY_MS) / 1000) * 1000)
  expect(peerCertificate(x509)).toMatchObject({ commonNames: ['cache'], dnsNames: ['cache'] })
})

test('a date beyond 2049 has four digits for the year', () => {
  const { certificate } = makeSelfSigned({ hosts: ['a'], days: 36_500, nowMs: NOW_MS })
  const year = new Date(NOW_MS + 36_500 * DAY_MS).getUTCFullYear()
  expect(new X509Certificate(certificate).validTo).toContain(` ${year} `)
})

test('two are never the same', () => {
  const [one, two] = [0, 1].map(
    () => new X509Certificate(makeSelfSigned({ hosts: ['a'], days: 1, nowMs: NOW_MS }).certificate),
  )
  expect(one?.serialNumber).not.toBe(two?.serialNumber)
})

test.each(['', 'a b', 'a,DNS:b', '-a', 'a..b', 'x'.repeat(64), '300.1.1.1.', ':::', 'é', '*'])(
  'nothing is made out to %j',
  (host) => {
    expect(problemWithHost(host)).toBeDefined()
  },
)

test('days are counted as far as certificates can', () => {
  expect(problemWithDays(1, NOW_MS)).toBeUndefined()
  for (const days of [0, 1.5, Number.NaN, 4_000_000, 999_999_999]) {
    expect(problemWithDays(days, NOW_MS)).toBeDefined()
  }
})

describe('the files', () => {
  const pair = { certificate: 'c', key: 'k' }

  test('are for those who may read them', async () => {
    await writePair(pair, PATHS(), false)
    const modes = ['tls.crt', 'tls.key'].map((name) => statSync(at(name)).mode & 0o777)
    expect(modes).toEqual([0o644, 0o600])
  })

  test('are never written over, also not half of them', async () => {
    writeFileSync(at('tls.crt'), 'mine')
    await expect(writePair(pair, PATHS(), false)).rejects.toThrow('is there already')
    expect(readdirSync(directory)).toEqual(['tls.crt'])
    expect(readFileSync(at('tls.crt'), 'utf8')).toBe('mine')
  })

  test('are not written through a link', async () => {
    symlinkSync(at('elsewhere'), at('tls.key'))
    await expect(writePair(pair, PATHS(), false)).rejects.toThrow('is there already')
    await writePair(pair, PATHS(), true)
    expect(readdirSync(directory).sort()).toEqual(['tls.crt', 'tls.key'])
  })

  test('are replaced when that is asked for', async () => {
    writeFileSync(at('tls.key'), 'old', { mode: 0o644 })
    await writePair(pair, PATHS(), true)
    expect(readFileSync(at('tls.key'), 'utf8')).toBe('k')
    expect(statSync(at('tls.key')).mode & 0o777).toBe(0o600)
  })
})
