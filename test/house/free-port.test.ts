import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freePort } from '../support/free-port.js'

const RANGE = '/proc/sys/net/ipv4/ip_local_port_range'

test('a port for a program that starts later is none that a connection could be given meanwhile', async () => {
  const [first = 0, last = 0] = readFileSync(RANGE, 'latin1').split(/\s+/).map(Number)
  const ports = await Promise.all(Array.from({ length: 100 }, async () => await freePort()))
  expect(new Set(ports).size).toBe(ports.length)
  expect(ports.filter((port) => port >= first && port <= last)).toEqual([])
})

test('of ports in a row nobody listens at any, and nobody else is given one', async () => {
  const last = await freePort(3)
  const listeners = [last - 2, last - 1, last].map((port) => createServer().listen(port))
  await Promise.all(
    listeners.map((each) => new Promise((resolve) => each.once('listening', resolve))),
  )
  for (const each of listeners) each.close()
  const others = await Promise.all(Array.from({ length: 50 }, async () => await freePort(3)))
  expect(others.filter((port) => Math.abs(port - last) < 3)).toEqual([])
})
