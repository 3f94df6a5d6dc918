import { expect, test } from 'vitest'
import { warnOfLaterFiles } from '../../../../src/server/main/later-files.ts'
import { load } from '../../config/support.ts'

const FLAGS = {
  users: ['--users-file', '/etc/x/users.toml'],
  audit: ['--audit-log', '/var/x/audit.log'],
}

/** What is said where the process may not read or write these. */
async function saidWithout(
  flags: readonly string[],
  forbidden: readonly string[],
  code = 'EACCES',
) {
  const config = await load({ flags: [...flags], usersFileMustExist: false })
  const said: string[] = []
  const told = warnOfLaterFiles(
    { ...config, auth: { ...config.auth, sources: usersOf(flags) } },
    'cache',
    (level, event, message) => said.push(`${level} ${event} ${message}`),
    (path) => {
      if (forbidden.includes(path)) throw Object.assign(new Error(code), { code })
    },
  )
  expect(told).toHaveLength(said.length)
  return said
}

function usersOf(flags: readonly string[]): { kind: 'users-file'; path: string }[] {
  return flags.includes('--users-file') ? [{ kind: 'users-file', path: '/etc/x/users.toml' }] : []
}

const ALL = Object.values(FLAGS).flat()

test('nothing is said where all can be had, or where the start has said it', async () => {
  expect(await saidWithout(ALL, [])).toEqual([])
  const everything = ['/etc/x/users.toml', '/var/x/audit.log', '/var/x']
  expect(await saidWithout(ALL, everything, 'ENOENT')).toEqual([])
  expect(await saidWithout([], everything)).toEqual([])
})

test.each([
  ['/etc/x/users.toml', 'warn file_out_of_reach the users file', 'chown cache /etc/x/users.toml'],
  ['/var/x/audit.log', 'warn file_out_of_reach the audit log', 'rotated'],
  ['/var/x', 'info file_out_of_reach', 'logrotate: create 0600 cache'],
])('%s, which the user may not use, is told of with what to do', async (path, begins, contains) => {
  const said = await saidWithout(ALL, [path])
  expect(said).toHaveLength(1)
  expect(said[0]?.startsWith(begins)).toBe(true)
  expect(said[0]).toContain(contains)
})

test('every file of TLS that is read again is looked at', async () => {
  const config = await load({ flags: [] })
  const pair = { certificateFile: '/tls/cert', keyFile: '/tls/key', keyPasswordFile: '/tls/word' }
  const tls = { pairs: [pair, pair], caFile: '/tls/ca', crlFile: '/tls/crl' }
  const asked: string[] = []
  const withTls = { ...config, tls } as unknown as typeof config
  warnOfLaterFiles(
    withTls,
    'cache',
    () => undefined,
    (path) => asked.push(path),
  )
  const ofPair = Object.values(pair)
  expect(asked).toEqual([...ofPair, ...ofPair, '/tls/ca', '/tls/crl'])
})
