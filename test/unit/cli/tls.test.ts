import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeDirectory, run } from './support.ts'

test('what tls self-signed makes is a configuration that is good', async () => {
  const out = makeDirectory()
  const made = await run(['tls', 'self-signed', '--out', out, '--name', 'cache', '--days', '7'])
  expect(made).toMatchObject({ exitCode: 0, out: '' })
  expect(made.err).toContain('is good for cache, 7 days from now')
  const files = ['--tls-cert', join(out, 'tls.crt'), '--tls-key', join(out, 'tls.key')]
  expect(made.err).toContain(`saslcached -Z ${files.join(' ')}`)
  const checked = await run(['-Z', ...files, '--no-auth', '--check-config'])
  expect(checked).toEqual({
    exitCode: 0,
    out: '',
    err: 'saslcached: the configuration is good\n',
  })
})

test('--check-config tells of certificates that a start would refuse', async () => {
  const out = makeDirectory()
  await run(['tls', 'self-signed', '--out', out])
  writeFileSync(join(out, 'tls.key'), 'nothing\n')
  const files = ['--tls-cert', join(out, 'tls.crt'), '--tls-key', join(out, 'tls.key')]
  const checked = await run(['-Z', ...files, '--no-auth', '--check-config'])
  expect(checked.exitCode).toBe(78)
  expect(checked.err).toContain('tls.key: there is no private key in PEM')
})

test('a file that is certificate and key, and is not there, is told once', async () => {
  const { exitCode, err } = await run([
    '-Z',
    '--tls-cert',
    '/nofile',
    '--no-auth',
    '--check-config',
  ])
  expect(exitCode).toBe(78)
  expect(err).toBe(
    'saslcached: the certificates cannot be used\n  /nofile: there is no such file\n',
  )
})

test('files that are there stay, unless --force is given', async () => {
  const out = makeDirectory()
  await run(['tls', 'self-signed', '--out', out])
  const key = readFileSync(join(out, 'tls.key'), 'utf8')
  const again = await run(['tls', 'self-signed', '--out', out])
  expect(again.exitCode).toBe(1)
  expect(again.err).toContain('--force replaces it')
  expect(readFileSync(join(out, 'tls.key'), 'utf8')).toBe(key)
  expect((await run(['tls', 'self-signed', '--out', out, '--force'])).exitCode).toBe(0)
  expect(readFileSync(join(out, 'tls.key'), 'utf8')).not.toBe(key)
})

test.each([
  [['--name', 'a b'], 1, 'is neither a host name nor an IP address'],
  [['--days', '0'], 1, 'is not a whole number of days'],
  [['--days', '1e9'], 1, 'is not a whole number of days'],
  [['--out', '/nonexistent'], 1, 'there is no such directory'],
  [['-p', '1'], 78, 'is not an option of "saslcached tls self-signed"'],
  [['x'], 78, 'has an argument too many'],
])('tls self-signed %j is refused', async (flags, exitCode, why) => {
  const out = makeDirectory()
  const outcome = await run(['tls', 'self-signed', '--out', out, ...flags])
  expect(outcome.exitCode).toBe(exitCode)
  expect(outcome.err).toContain(why)
  expect(readdirSync(out)).toEqual([])
})
