/**
 * The item store of a build, for what measures it alone: all that the modules export which whoever uses a store needs.
 */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Of builds to compare with, older ones have the last two in the others. */
const MODULES = ['geometry.js', 'store.js', 'counters.js', 'result.js', 'write-order.js']

export async function loadStore(dist) {
  const files = MODULES.map((name) => join(resolve(dist), 'src', 'storage', name))
  const present = files.filter((file) => existsSync(file))
  return Object.assign(
    {},
    ...(await Promise.all(present.map((file) => import(pathToFileURL(file).href)))),
  )
}
