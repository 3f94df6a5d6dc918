import { expect, test } from 'vitest'
import type { Config } from '../../../../src/config/config.ts'
import {
  openFilesNeeded,
  watchOpenFiles,
  withinOpenFiles,
} from '../../../../src/server/main/open-files.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { load } from '../../config/support.ts'

const HTTP = ['--http', '127.0.0.1:9100']

async function configOf(...flags: string[]): Promise<Config> {
  return await load({ flags: ['-c', '1000', '-t', '4', ...flags] })
}

test('a configuration that fits stays as it is, and so does one where no limit is known', async () => {
  const config = await configOf(...HTTP)
  expect(withinOpenFiles(config, openFilesNeeded(config))).toBe(config)
  expect(withinOpenFiles(config, undefined)).toBe(config)
})

test.each([
  ['plain', []],
  ['answers over HTTP', HTTP],
  ['does so on several addresses', [...HTTP, '--http', '127.0.0.1:9101', '--http', '/run/h.sock']],
  ['lets clients wait', ['--wait-for-place', 'true']],
  ['does both', [...HTTP, '--wait-for-place', 'true', '--listen-backlog', '5000']],
])('one that %s needs no more than there are, at every limit', async (_, flags) => {
  const config = await configOf(...flags)
  const needed = openFilesNeeded(config)
  // With fewer no server starts.
  for (let openFiles = 120; openFiles < needed; openFiles++) {
    const held = withinOpenFiles(config, openFiles)
    const { connectionsMax, unauthenticatedConnectionsMax: strangersMax } = held.limits
    expect(openFilesNeeded(held)).toBeLessThanOrEqual(openFiles)
    expect(connectionsMax).toBeGreaterThan(0)
    expect(connectionsMax).toBeLessThanOrEqual(1000)
    expect(strangersMax).toBe(Math.max(1, Math.floor(connectionsMax / 4)))
  }
})

test('no part takes all, and what one leaves the other has', async () => {
  const { limits } = withinOpenFiles(await configOf(...HTTP, '--wait-for-place', 'true'), 300)
  expect(limits.connectionsMax).toBeGreaterThan(100)
  expect(limits.heldConnectionsMax).toBeGreaterThan(40)
  expect(limits.httpConnectionsMax).toBeGreaterThan(20)
  const few = await load({ flags: ['-c', '20', '-t', '4', ...HTTP] })
  expect(withinOpenFiles(few, 200).limits).toMatchObject({ connectionsMax: 20 })
  expect(withinOpenFiles(few, 200).limits.httpConnectionsMax).toBeGreaterThan(80)
})

test('each thread has descriptors of its own, and the limit is that of the process', async () => {
  const few = withinOpenFiles(await configOf('-t', '1'), 300).limits.connectionsMax
  const many = withinOpenFiles(await configOf('-t', '8'), 300).limits.connectionsMax
  expect(few - many).toBe(7 * 6)
})

test('that no file can be opened is told of at once, then once a minute', () => {
  const clock = new ManualClock()
  const said: unknown[] = []
  let code: string | undefined
  const end = watchOpenFiles(
    clock,
    (level, event, _, fields) => said.push([level, event, fields]),
    () => {
      if (code !== undefined) throw Object.assign(new Error(code), { code })
    },
  )
  clock.pass(5000)
  expect(said).toEqual([])
  code = 'EMFILE'
  clock.pass(30_000)
  expect(said).toEqual([['error', 'accept_failed', { code: 'EMFILE' }]])
  clock.pass(31_000)
  expect(said).toHaveLength(2)
  code = 'EACCES'
  clock.pass(120_000)
  expect(said).toHaveLength(2)
  end()
  expect(clock.periodCount).toBe(0)
})

test('each address of HTTP has places of its own', async () => {
  const { httpConnectionsMax: one } = (await configOf(...HTTP)).limits
  const { httpConnectionsMax: two } = (await configOf(...HTTP, '--http', '/run/h.sock')).limits
  expect(two).toBe(2 * one)
})
