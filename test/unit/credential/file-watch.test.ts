/** A change that comes while files are read, when it may be too late for that, has them read again. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FileWatch } from '../../../src/credential/file-watch.ts'

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'saslcached-watch-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

interface Signal {
  readonly given: Promise<void>
  give(): void
}

function newSignal(): Signal {
  let give = (): void => undefined
  const given = new Promise<void>((resolve) => {
    give = resolve
  })
  return { given, give: () => give() }
}

/** Watches the directory without the slow look, which would see any change in the end. */
function newWatch(
  debounceMs: number,
  signature: () => string,
  onChange: (watch: FileWatch) => Promise<unknown>,
): FileWatch {
  const watch: FileWatch = new FileWatch({
    paths: [join(directory, 'users.toml')],
    debounceMs,
    pollMs: 0,
    access: { read: async () => 'nobody reads here', signature: async () => signature() },
    onChange: () => onChange(watch),
  })
  return watch
}

/** Resolves when the events of everything before have come, and whoever waited 1 ms has acted on them. */
async function eventsHaveCome(): Promise<void> {
  const seen = newSignal()
  let looks = 0
  const witness = newWatch(
    30,
    () => String(looks++),
    async () => seen.give(),
  )
  await witness.reading(async () => undefined)
  await witness.watch()
  mkdirSync(join(directory, 'something-else'))
  await seen.given
  witness.close()
}

test('what changes while the files are read is looked at again afterwards', async () => {
  const begun = newSignal()
  const mayEnd = newSignal()
  const again = newSignal()
  const read: string[] = []
  let signature = 'first'
  const watch = newWatch(
    1,
    () => signature,
    (own) =>
      own.reading(async () => {
        read.push(signature)
        if (read.length === 2) again.give()
        begun.give()
        await mayEnd.given
      }),
  )
  await watch.reading(async () => undefined)
  await watch.watch()
  signature = 'second'
  mkdirSync(join(directory, 'something'))
  await begun.given
  signature = 'third'
  await eventsHaveCome()
  expect(read).toEqual(['second'])
  mayEnd.give()
  await again.given
  expect(read).toEqual(['second', 'third'])
  watch.close()
})
