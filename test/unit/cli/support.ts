/** Runs the command line in this process, with a stdin and an environment of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { onTestFinished } from 'vitest'
import type { Input } from '../../../src/cli/io.ts'
import { main } from '../../../src/cli/main.ts'

export interface Outcome {
  readonly exitCode: number
  readonly out: string
  readonly err: string
}

export interface Circumstances {
  readonly stdin?: Input | string
  readonly environment?: Readonly<Record<string, string>>
  readonly columns?: number
  readonly directory?: string
}

export async function run(argv: readonly string[], given: Circumstances = {}): Promise<Outcome> {
  let out = ''
  let err = ''
  const stdin =
    typeof given.stdin === 'object' ? given.stdin : Readable.from([Buffer.from(given.stdin ?? '')])
  const exitCode = await main(argv, {
    stdin,
    environment: given.environment ?? {},
    columns: given.columns,
    directory: given.directory ?? '/nonexistent',
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { exitCode, out, err }
}

export function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-cli-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** A terminal that a person types into: it notes whether it was in raw mode when it had to be. */
export class FakeTerminal extends Readable {
  readonly isTTY = true
  readonly modes: boolean[] = []

  constructor(...typed: readonly (string | Buffer)[]) {
    super()
    for (const text of typed) this.push(text)
  }

  override _read(): void {}

  setRawMode(on: boolean): this {
    this.modes.push(on)
    return this
  }
}
