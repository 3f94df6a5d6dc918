/**
 * Reads PEM (RFC 7468): blocks of base64 between BEGIN and END lines, with anything around them, as
 * `openssl` writes it. No message repeats what a block holds: it may be a key.
 */

export interface PemBlock {
  /** `CERTIFICATE`, `PRIVATE KEY`, ... */
  readonly label: string
  readonly bytes: Uint8Array
  /** The block as it stands, for who reads more of it than its bytes. */
  readonly text: string
  /** RFC 1421: lines in front of the base64, which old encrypted keys have. */
  readonly hasHeaders: boolean
  /** Of the BEGIN line, 1-based. */
  readonly line: number
}

/** `message` completes a sentence that begins with the file's name and line. */
export interface PemProblem {
  readonly line: number
  readonly message: string
}

/** A bundle of authorities has some 150. */
export const PEM_BLOCKS_MAX = 1000

const BEGIN = /^-----BEGIN ([A-Z0-9 ]{1,40})-----$/
const END = /^-----END ([A-Z0-9 ]{1,40})-----$/
const HEADER = /^[A-Za-z0-9-]{1,40}:/
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/** The blocks of a text, in their order; none, if nothing in it looks like one. */
export function readPem(text: string): readonly PemBlock[] | PemProblem {
  const lines = text.split(/\r\n|\n|\r/)
  const blocks: PemBlock[] = []
  for (let index = 0; index < lines.length; index++) {
    const first = lines[index]?.trimEnd() ?? ''
    if (!first.startsWith('-----')) continue
    const label = BEGIN.exec(first)?.[1]
    if (label === undefined) {
      return { line: index + 1, message: 'there is an END line without its BEGIN' }
    }
    const end = findEnd(lines, index + 1)
    if (end === undefined || END.exec(lines[end]?.trimEnd() ?? '')?.[1] !== label) {
      return {
        line: index + 1,
        message: `the ${label} that begins here has no end: the file is cut off, or still being written`,
      }
    }
    if (blocks.length === PEM_BLOCKS_MAX) {
      return { line: index + 1, message: `there are more than ${PEM_BLOCKS_MAX} blocks in it` }
    }
    const block = readBlock(lines.slice(index, end + 1), label, index + 1)
    if (block === undefined) {
      return { line: index + 1, message: `the ${label} that begins here is not base64` }
    }
    blocks.push(block)
    index = end
  }
  return blocks
}

/** The next line that begins or ends something. */
function findEnd(lines: readonly string[], start: number): number | undefined {
  for (let index = start; index < lines.length; index++) {
    if (lines[index]?.startsWith('-----') === true) return index
  }
  return undefined
}

function readBlock(lines: readonly string[], label: string, line: number): PemBlock | undefined {
  const body = lines.slice(1, -1).map((each) => each.trim())
  const hasHeaders = HEADER.test(body[0] ?? '')
  const bodyStart = hasHeaders ? body.indexOf('') + 1 : 0
  if (hasHeaders && bodyStart === 0) return undefined
  const base64 = body.slice(bodyStart).join('')
  if (base64 === '' || base64.length % 4 !== 0 || !BASE64.test(base64)) return undefined
  const text = `${lines.map((each) => each.trimEnd()).join('\n')}\n`
  return { label, bytes: Buffer.from(base64, 'base64'), text, hasHeaders, line }
}

/** A block of `bytes`. */
export function formatPem(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n')
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`
}
