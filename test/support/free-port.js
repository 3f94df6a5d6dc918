/**
 * Ports for programs that must be told one before they start, or that start again where they were.
 *
 * One that the kernel has chosen is in the range that it gives to any outgoing connection: between its choice and the
 * start of the program, and between two starts, it is anybody's. These are outside that range, and no two processes
 * that ask here are given the same one: a UDP socket of that number stands for the claim as long as the process lives.
 *
 * Plain JavaScript, as the benchmarks run it on Node 20 without a build.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

const HOST = '127.0.0.1'
/** Above what programs have by default, memcached's among them. */
const FIRST = 12_000
/** Where Linux begins by default to choose ports for connections. */
const USUAL_END = 32_768

/** The first port that the kernel may choose for a connection. */
function endOfOurs() {
  try {
    const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'latin1')
    const first = Number.parseInt(range, 10)
    return first > 2 * FIRST ? first : USUAL_END
  } catch {
    return USUAL_END
  }
}

const END = endOfOurs()

/** The last of `count` ports in a row that nobody listens at, on any address, and that nobody else is given. */
export async function freePort(count = 1) {
  for (;;) {
    const first = FIRST + Math.floor(Math.random() * (END - FIRST - count))
    const ports = Array.from({ length: count }, (_, index) => first + index)
    const free = await Promise.all(ports.map(async (port) => await isOurs(port)))
    if (free.every(Boolean)) return first + count - 1
  }
}

/** False: another process has claimed it, or something listens there. */
async function isOurs(port) {
  const claim = createSocket('udp4')
  try {
    claim.bind({ port, address: HOST, exclusive: true })
    await once(claim, 'listening')
    claim.unref()
    const server = createServer().listen(port)
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return true
  } catch {
    claim.close()
    return false
  }
}
