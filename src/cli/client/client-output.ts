/**
 * Standard output of a client's command: text and bytes, waiting for whoever reads. A reader that has
 * gone (`| head`) ends the command without a word.
 */
import { printableJson } from '../../client/printable.ts'
import type { Io } from '../io.ts'

/** Thrown to end a command whose reader has gone. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed'
}

const COLUMNS_DEFAULT = 80
const ROWS_DEFAULT = 24

export class ClientOutput {
  readonly #io: Io
  #isClosed = false

  constructor(io: Io) {
    this.#io = io
    io.stdout?.on('error', () => {
      this.#isClosed = true
    })
  }

  get isTerminal(): boolean {
    return this.#io.stdout?.isTTY === true
  }

  /** A terminal that does not know its size says 0. */
  get columns(): number {
    return this.#io.stdout?.columns || this.#io.columns || COLUMNS_DEFAULT
  }

  get rows(): number {
    return this.#io.stdout?.rows || ROWS_DEFAULT
  }

  /** Resolves when it has been taken. */
  async write(data: string | Uint8Array): Promise<void> {
    const { stdout } = this.#io
    if (stdout === undefined) {
      this.#io.out(typeof data === 'string' ? data : Buffer.from(data).toString('latin1'))
      return
    }
    if (this.#isClosed) throw new OutputClosed()
    await new Promise<void>((resolve, reject) => {
      stdout.write(data, (error) => {
        if (error === undefined || error === null) resolve()
        else reject(new OutputClosed())
      })
    })
  }

  async line(text: string): Promise<void> {
    await this.write(`${text}\n`)
  }

  async json(value: unknown): Promise<void> {
    await this.line(printableJson(value))
  }
}
