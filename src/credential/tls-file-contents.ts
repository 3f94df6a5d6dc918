/**
 * What the files behind a TLS listener hold, read in PEM: bytes to texts, to blocks, to certificates. A file that
 * cannot be read so throws, with its line; whether what is in it will do is for tls-certificates.ts to say.
 */
import { X509Certificate } from 'node:crypto'
import { decodeUtf8OrLine, type FileContent } from './file-access.ts'
import { type PemBlock, readPem } from './pem.ts'
import type { TlsFileProblem, TlsFileRole } from './tls-files.ts'
import { readTbsCertificate } from './x509.ts'

/** Of a chain, a key or all authorities. */
const FILE_BYTES_MAX = 1024 * 1024

/** A problem that is in the way of all others with the same file. */
export class UnusableFileError extends Error {
  readonly problem: TlsFileProblem

  constructor(role: TlsFileRole, file: string, message: string, line = 0) {
    super(message)
    this.problem = { role, file, line, message }
  }
}

export interface FileCertificate {
  readonly x509: X509Certificate
  /** At which it begins, 1-based. */
  readonly line: number
}

export class TlsFileContents {
  private readonly contents: ReadonlyMap<string, FileContent | string>

  /** By path; a text says why a file could not be read. */
  constructor(contents: ReadonlyMap<string, FileContent | string>) {
    this.contents = contents
  }

  /** At least one. */
  certificates(role: TlsFileRole, file: string): readonly FileCertificate[] {
    const blocks = this.blocks(role, file).filter(({ label }) => label.endsWith('CERTIFICATE'))
    if (blocks.length === 0) {
      throw new UnusableFileError(role, file, 'there is no certificate in PEM in the file')
    }
    return blocks.map((block) => {
      try {
        const x509 = new X509Certificate(block.bytes)
        if (readTbsCertificate(block.bytes) !== undefined) return { x509, line: block.line }
      } catch {
        // As one that is cut off in the middle.
      }
      const message = 'what begins here is not a certificate: it is damaged'
      throw new UnusableFileError(role, file, message, block.line)
    })
  }

  /** What is in PEM in it, whatever that is. */
  blocks(role: TlsFileRole, file: string, bytesMax: number = FILE_BYTES_MAX): readonly PemBlock[] {
    const blocks = readPem(this.text(role, file, bytesMax))
    if ('message' in blocks) throw new UnusableFileError(role, file, blocks.message, blocks.line)
    return blocks
  }

  text(role: TlsFileRole, file: string, bytesMax: number = FILE_BYTES_MAX): string {
    const { bytes } = this.content(role, file, bytesMax)
    if (bytes[0] === 0x30 && bytes[1] === 0x82) {
      const hint = role === 'key' ? 'openssl pkey -inform DER' : 'openssl x509 -inform DER'
      throw new UnusableFileError(role, file, `the file is DER, not PEM: convert it (${hint})`)
    }
    const text = decodeUtf8OrLine(bytes)
    if (typeof text === 'number') {
      throw new UnusableFileError(role, file, 'this line is not text, and PEM is', text)
    }
    if (text.trim() === '') throw new UnusableFileError(role, file, 'the file is empty')
    return text
  }

  content(role: TlsFileRole, file: string, bytesMax: number = FILE_BYTES_MAX): FileContent {
    const content = this.contents.get(file)
    if (content === undefined) throw new UnusableFileError(role, file, 'the file was not read')
    if (typeof content === 'string') throw new UnusableFileError(role, file, content)
    if (content.bytes.length > bytesMax) {
      const message = `the file has ${content.bytes.length} bytes; at most ${bytesMax} are allowed`
      throw new UnusableFileError(role, file, message)
    }
    return content
  }
}
