/**
 * The threads that derive keys give way to the event loops (src/server/main/thread-pool.ts): in a process of its own,
 * as others' work would be taken for theirs. The module is that of .modules/.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { runProgram } from '../support/program.ts'
import { SERVER_NODE, startSaslcached } from '../support/server.ts'

const MODULE = join(import.meta.dirname, '..', '..', '.modules/src/server/main/thread-pool.js')

/**
 * Prints how many threads are found while one of the pool is held up, as by a machine that has no time for it, until the
 * others have done twenty pieces: whoever opens a FIFO waits for its writer.
 */
const PROGRAM = `
import { execFileSync } from 'node:child_process'
import { open, openSync } from 'node:fs'
import { deriveAnyKey, yieldToEventLoops as giveWay } from '${pathToFileURL(MODULE).href}'
const [fifo] = process.argv.slice(1)
execFileSync('mkfifo', [fifo])
let isHeldUp = true
const opened = new Promise((resolve) => open(fifo, 'r', resolve))
const goOn = () => {
  if (isHeldUp) openSync(fifo, 'w')
  isHeldUp = false
}
let pieces = 0
const found = await giveWay(() => {
  if (++pieces > 20) goOn()
  return deriveAnyKey()
})
goOn()
await opened
console.log(found)
process.exit()
`

test('all of them are found, also when one had nothing to do at first', async () => {
  expect(existsSync(MODULE), 'run npm run build:modules first').toBe(true)
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-pool-test-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const words = ['--single-threaded-gc', '--input-type=module', '-e', PROGRAM, join(folder, 'fifo')]
  const { exitCode, stdout, stderr } = await runProgram([SERVER_NODE, ...words])
  expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: '4\n', stderr: '' })
})

test('where there are too many to be found, and they have no names, the log says so', async () => {
  const server = await startSaslcached({
    users: [{ name: 'alice', password: 'right' }],
    environment: { UV_THREADPOOL_SIZE: '32' },
  })
  onTestFinished(() => server.stop())
  const { node } = await server.waitForLog(({ event }) => event === 'started')
  const isSaid = server.log().some(({ event }) => event === 'keys_beside_clients')
  expect(isSaid).toBe(String(node).startsWith('20.'))
})
