/**
 * A folder for what is made once a process, such as a program that is compiled: test files share processes and the
 * modules in them, so that what belongs to a module must not go with the first file that has it. vitest runs `setup` before
 * a run and what that returns after it: its processes are killed at the end, and come to remove nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const VARIABLE = 'TEST_RUN_FOLDER'

export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'saslcached-run-'))
  process.env[VARIABLE] = folder
  return () => rmSync(folder, { recursive: true, force: true })
}

/** A new one, which goes when the run is over. */
export function runFolder(name: string): string {
  const folder = process.env[VARIABLE]
  if (folder === undefined) throw new Error(`${VARIABLE} is not set: is this a run of vitest?`)
  return mkdtempSync(join(folder, `${name}-`))
}
