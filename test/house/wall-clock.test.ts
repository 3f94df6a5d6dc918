/**
 * Who reads the wall clock, and why it has to be that one: anything that measures a time or expires
 * goes by base/clock.ts or by `performance.now()`, which no step of the wall clock moves.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { expect, test } from 'vitest'

const SRC = join(import.meta.dirname, '..', '..', 'src')

const READERS = {
  'base/clock.ts': 'once, when the server starts',
  'cli/tls.ts': 'a certificate says from when on it is good',
  'client/session.ts': 'a time to live of more than 30 days is a date on the wire',
  'credential/users-file-replacement.ts':
    "against the file system's times, which are of that clock",
  'observe/audit-line.ts': 'a line of the audit stands beside those of other programs',
  'observe/log.ts': 'a line of the log stands beside those of other programs',
  'server/main/certificate-reload.ts': 'certificates are good until a date of that clock',
  'server/snapshot/snapshot-thread.ts': 'how long a server was down only that clock can tell',
}

test('the wall clock is read where it is meant, and nowhere else', () => {
  const readers = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .filter((file) =>
      /\bDate\.now\b|\bnew Date\(\)|\btimeOrigin\b/.test(readFileSync(join(SRC, file), 'utf8')),
    )
  expect(readers.map((file) => relative(SRC, join(SRC, file))).sort()).toEqual(Object.keys(READERS))
})
