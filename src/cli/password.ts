/**
 * Reads a password: from a prompt without echo, asked twice, when stdin is a terminal; otherwise all
 * of stdin, less one line end. Never from argv, which every user of the machine can read.
 *
 * Invariant: the terminal is in raw mode from before the first prompt until the end, so that nothing
 * typed ahead is echoed, and leaves it on every way out.
 */
import { EXIT_INTERRUPTED } from '../base/exit-code.ts'
import { CommandFailure, type Io } from './io.ts'

/** As credential's limit; a longer one is refused there, reading more would be waste. */
const PASSWORD_BYTES_MAX = 1024

const CONTROL_C = '\u0003'
const CONTROL_D = '\u0004'
const BACKSPACE = '\b'
const DELETE = '\u007f'
const CONTROL_U = '\u0015'
const ESCAPE = '\u001b'

export async function readPassword(io: Io, prompt: string): Promise<string> {
  if (io.stdin.isTTY !== true) return readPipe(io)
  const { stdin } = io
  stdin.setRawMode?.(true)
  try {
    const password = await ask(io, `${prompt}: `)
    if (password === '') throw new CommandFailure('an empty password lets nobody in')
    const again = await ask(io, 'The same again: ')
    if (again !== password) throw new CommandFailure('the two passwords differ')
    return password
  } finally {
    stdin.setRawMode?.(false)
    stdin.pause()
  }
}

/** A password that there is already: asked for once. Stdin is a terminal. */
export async function askPassword(io: Io, prompt: string): Promise<string> {
  const { stdin } = io
  stdin.setRawMode?.(true)
  try {
    return await ask(io, prompt)
  } finally {
    stdin.setRawMode?.(false)
    stdin.pause()
  }
}

async function readPipe(io: Io): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of io.stdin) {
    const bytes = Buffer.from(chunk)
    length += bytes.length
    // Two bytes more than a password may have: a line end is not part of it.
    if (length > PASSWORD_BYTES_MAX + 2) {
      throw new CommandFailure(`a password has at most ${PASSWORD_BYTES_MAX} bytes; stdin has more`)
    }
    chunks.push(bytes)
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  } catch {
    throw new CommandFailure('the password on stdin is not UTF-8 text')
  }
  const password = text.replace(/\r?\n$/, '')
  if (password === '') throw new CommandFailure('there is no password on stdin')
  if (/[\r\n]/.test(password)) throw new CommandFailure('stdin has more than one line')
  return password
}

/** One answer, ended by Return. Backspace and Control-U edit; Control-C gives up. */
function ask(io: Io, prompt: string): Promise<string> {
  const { stdin } = io
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder()
    let password = ''
    const finish = (): void => {
      stdin.off('data', onData)
      stdin.off('end', giveUp)
      stdin.pause()
      io.err('\n')
    }
    const giveUp = (): void => {
      finish()
      reject(new CommandFailure('nothing was done', EXIT_INTERRUPTED))
    }
    const onData = (chunk: Buffer): void => {
      const text = decoder.decode(chunk, { stream: true })
      // An arrow or function key, not something anybody means to have in a password.
      if (text.length > 1 && text.startsWith(ESCAPE)) return
      let offset = 0
      for (const character of text) {
        offset += character.length
        if (character === '\r' || character === '\n') {
          finish()
          // What was typed or pasted behind the line end answers the next question.
          const rest = text.slice(offset).replace(/^\n/, '')
          if (rest !== '') stdin.unshift(Buffer.from(rest))
          resolve(password)
          return
        }
        if (character === CONTROL_C || (character === CONTROL_D && password === '')) {
          giveUp()
          return
        }
        if (character === BACKSPACE || character === DELETE) {
          password = Array.from(password).slice(0, -1).join('')
        } else if (character === CONTROL_U) {
          password = ''
        } else if (character >= ' ') {
          password += character
        }
      }
    }
    stdin.on('data', onData)
    stdin.on('end', giveUp)
    io.err(prompt)
    stdin.resume()
  })
}
