import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CredentialFileError } from '../../../../src/credential/credential-file-error.ts'
import { CredentialReload } from '../../../../src/server/main/credential-reload.ts'
import type { ToWorker } from '../../../../src/server/worker/worker-messages.ts'
import { load, makeDirectory } from '../../config/support.ts'

/** A server of two workers whose users stand in a file. */
async function makeReload(users = 'alice:secret\n') {
  const directory = makeDirectory({ users })
  const flags = ['-Y', join(directory, 'users'), '-t', '2']
  const config = await load({ directory, flags })
  const said: string[] = []
  const warnings: string[] = []
  const told: ToWorker[] = []
  const beside: string[][] = []
  let tell: () => void = () => undefined
  const credentials = new CredentialReload({
    config,
    say: (level, event, __, fields) => {
      if (level === 'warn') return void warnings.push(event)
      said.push(fields?.users === undefined ? event : `${event} ${fields.users}`)
      tell()
    },
    workers: {
      size: 2,
      broadcast: (message) => {
        told.push(message)
        tell()
      },
    },
    onUsers: ({ users }) => beside.push(users.map(({ name }) => name)),
  })
  return {
    credentials,
    beside,
    said,
    warnings,
    told,
    setUsers: (text: string) => writeFileSync(join(directory, 'users'), text),
    /** Reads them again; resolves when something comes of it. */
    async reload(): Promise<void> {
      const told = new Promise<void>((resolve) => {
        tell = resolve
      })
      credentials.reload()
      await told
    },
  }
}

test('the users of the start are announced, and rationed among the workers', async () => {
  const { credentials, said, warnings } = await makeReload()
  const auth = await credentials.load()
  expect(auth.credentials.users).toHaveLength(1)
  expect(auth.keyDerivationsMax).toBeGreaterThan(0)
  // The password stands in the clear.
  expect(warnings).toContain('credentials_warning')
  expect(said).toEqual(['credentials_loaded 1'])
})

test('a file that makes no sense fails the start', async () => {
  const { credentials } = await makeReload('no colon\n')
  await expect(credentials.load()).rejects.toThrow(CredentialFileError)
})

test('other users are announced when the last worker has them', async () => {
  const { credentials, said, told, setUsers, reload } = await makeReload()
  await credentials.load()
  setUsers('alice:secret\nbob:secret\n')
  await reload()
  expect(told).toMatchObject([{ kind: 'credentials', reloadId: 1 }])
  credentials.confirmed(1)
  expect(said).toEqual(['credentials_loaded 1'])
  credentials.confirmed(1)
  expect(said).toEqual(['credentials_loaded 1', 'credentials_reloaded 2'])
  expect(() => credentials.confirmed(1)).toThrow('once each')
})

test('a removed user is refused by who is no worker, too, whatever keeps a worker from it', async () => {
  const { credentials, beside, setUsers, reload } = await makeReload('alice:secret\nbob:secret\n')
  await credentials.load()
  setUsers('alice:secret\n')
  await reload()
  expect(beside).toEqual([['alice']])
  for (let count = 0; count < 2; count++) credentials.confirmed(1)
  expect(beside).toEqual([['alice']])
})

test('two reloads that overlap are told apart', async () => {
  const { credentials, said, told, setUsers, reload } = await makeReload()
  await credentials.load()
  for (const users of ['a:1\nb:2\n', 'a:1\nb:2\nc:3\n']) {
    setUsers(users)
    await reload()
  }
  expect(told).toMatchObject([{ reloadId: 1 }, { reloadId: 2 }])
  for (const reloadId of [1, 2, 2]) credentials.confirmed(reloadId)
  expect(said.slice(1)).toEqual(['credentials_reloaded 3'])
  credentials.confirmed(1)
  expect(said.slice(2)).toEqual(['credentials_reloaded 2'])
})

test('a file that is broken now keeps the users of before, and no worker hears of it', async () => {
  const { credentials, said, told, setUsers, reload } = await makeReload()
  await credentials.load()
  setUsers('no colon\n')
  await reload()
  expect(told).toEqual([])
  expect(said).toEqual(['credentials_loaded 1', 'credentials_refused'])
})
