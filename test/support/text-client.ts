/**
 * A client of the text and meta dialects that sends what it is told and waits for what is named.
 * It ends with the test that made it. Text stands for bytes, one character each.
 */
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

const DEADLINE_MS = 60_000

export type TextTarget =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }

export class TextClient {
  readonly socket: Socket
  hasEnded = false
  /** What was received and not taken, in pieces: a large answer is not put together for each of them. */
  private pieces: string[] = []
  private wake: () => void = () => undefined

  constructor(target: TextTarget) {
    this.socket = 'path' in target ? connect(target.path) : connect(target.port, target.host)
    this.socket.setEncoding('latin1')
    this.socket.on('data', (text: string) => {
      this.pieces.push(text)
      this.wake()
    })
    for (const event of ['end', 'close', 'error']) {
      this.socket.on(event, () => {
        this.hasEnded = true
        this.wake()
      })
    }
    onTestFinished(() => {
      this.socket.destroy()
    })
  }

  send(text: string): void {
    this.socket.write(text, 'latin1')
  }

  get received(): string {
    const text = this.pieces.join('')
    this.pieces = [text]
    return text
  }

  /** Everything up to and with `end`, taken off what was received. */
  async until(end: string): Promise<string> {
    let pieceIndex = 0
    let tail = ''
    await this.waitFor(
      () => {
        for (; pieceIndex < this.pieces.length; pieceIndex++) {
          tail += this.pieces[pieceIndex]
          if (tail.includes(end)) return true
          tail = tail.slice(tail.length - Math.min(tail.length, end.length - 1))
        }
        return false
      },
      `did not receive ${JSON.stringify(end)}`,
    )
    const { received } = this
    const length = received.indexOf(end) + end.length
    this.pieces = [received.slice(length)]
    return received.slice(0, length)
  }

  /** Sends and waits for an answer that ends in `end`. */
  async ask(text: string, end = '\r\n'): Promise<string> {
    this.send(text)
    return await this.until(end)
  }

  /** All that is left when the server has closed the connection. */
  async untilEnd(): Promise<string> {
    await this.waitFor(() => this.hasEnded, 'did not see the end')
    return this.received
  }

  private async waitFor(isDone: () => boolean, complaint: string): Promise<void> {
    const endMs = performance.now() + DEADLINE_MS
    while (!isDone()) {
      const leftMs = endMs - performance.now()
      if (leftMs <= 0 || (this.hasEnded && !isDone())) {
        throw new Error(`${complaint}; received ${JSON.stringify(this.received.slice(-300))}`)
      }
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.wake = resolve
        timer = setTimeout(resolve, leftMs)
      })
      clearTimeout(timer)
    }
  }
}
