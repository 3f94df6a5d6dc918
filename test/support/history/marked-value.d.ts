export const PIECE_BYTES_MIN: number
export const EXTENSION_BYTES_MIN: number

/** Writes piece `id`, `length` bytes long (from PIECE_BYTES_MIN to 128 KiB). */
export function writePiece(target: Buffer, offset: number, id: number, length: number): void

/** The piece as readValue shows it. */
export function pieceText(id: number): string

/** What the value is made of; text that begins with "torn" and says where, if it is not whole. */
export function readValue(bytes: Buffer, offset: number, length: number): string
