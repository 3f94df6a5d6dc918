/**
 * What the client programs for Node that speak text share: the modes that client-suite.ts asks for.
 * It leaves to the programs which client it is and how it logs in.
 */
import { setTimeout as delay } from 'node:timers/promises'

export const LARGE = Buffer.alloc(1_000_000, '0123456789abcdef')
export const ALL_BYTES = Buffer.concat([
  Buffer.from(Array.from({ length: 256 }, (_, each) => each)),
  Buffer.from('\r\nEND\r\nVALUE x 0 1\r\n'),
])

export async function goneWithin(isGone, seconds) {
  const endMs = performance.now() + seconds * 1000
  while (!(await isGone())) {
    if (performance.now() > endMs) throw new Error('the item did not expire')
    await delay(50)
  }
}

/** @param program {{ connect, logIn, read, close, checks }}: `logIn` and `read` throw if refused */
export async function runClient({ connect, logIn, read, close, checks }) {
  const mode = process.argv.at(-1)
  const client = connect()
  try {
    if (mode !== 'stranger') await logIn(client)
    if (mode !== 'operations') {
      await read(client)
      console.log('accepted')
    } else {
      for (const [name, check] of Object.entries(checks)) {
        console.log(await resultOf(name, async () => await check(client)))
      }
    }
  } catch (error) {
    console.log(`refused: ${error?.message ?? error}`)
  }
  await close(client)
}

async function resultOf(name, check) {
  try {
    await check()
    return `ok - ${name}`
  } catch (error) {
    return `not ok - ${name}: ${String(error?.message ?? error).replaceAll('\n', ' ')}`
  }
}
