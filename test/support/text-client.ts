/**
 * A client of the text and meta dialects that sends what it is told and waits for what is named.
 * It ends with the test that made it. Text stands for bytes, one character each.
 */
import { connect, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

const DEADLINE_MS = 20_000

export type TextTarget =
  | { readonly host: string; readonly port: number }
  | { readonly path: string }

export class TextClient {
  readonly socket: Socket
  received = ''
  hasEnded = false
  private wake: () => void = () => undefined

  constructor(target: TextTarget) {
    this.socket = 'path' in target ? connect(target.path) : connect(target.port, target.host)
    this.socket.setEncoding('latin1')
    this.socket.on('data', (text: string) => {
      this.received += text
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

  /** Everything up to and with `end`, taken off what was received. */
  async until(end: string): Promise<string> {
    let from = 0
    await this.waitFor(
      () => {
        const at = this.received.indexOf(end, from)
        from = Math.max(0, this.received.length - end.length)
        return at >= 0
      },
      `did not receive ${JSON.stringify(end)}`,
    )
    const length = this.received.indexOf(end) + end.length
    const text = this.received.slice(0, length)
    this.received = this.received.slice(length)
    return text
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
