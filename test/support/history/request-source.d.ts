import type { Verb } from './operation.ts'

/** Incremented by one, and otherwise left alone, with `counts`. */
export const COUNTER_KEY: string

export interface RequestSourceOptions {
  readonly seed: number
  /** Of the processes 0 to processCount - 1 of a history: values of two never are the same. */
  readonly process: number
  readonly processCount: number
  readonly hotKeyCount: number
  readonly coldKeyCount: number
  readonly valueBytesMax: number
  /** Some values are larger than this. */
  readonly itemBytesMax: number
  readonly expires: boolean
  /** Requests between two flushes on average, 0 for none. */
  readonly flushEvery: number
  readonly delaysFlushes: boolean
  readonly counts: boolean
  /** Of a hundred requests so many are plain reads, whatever the others are. */
  readonly readShare?: number
  /** Whether appending may be asked for with a CAS, which the text dialect cannot. */
  readonly extendsByCas: boolean
}

export interface Request {
  readonly verb: Verb
  readonly key: string
  readonly value: string
  readonly valueBytes: number
  /** 0 if the value is a number, or none. */
  readonly pieceId: number
  readonly flags: number
  readonly expiry: number
  readonly token: number
  readonly delta: number
}

export const PLAIN_REQUEST: Request

export function writeValueOf(request: Request, target: Buffer, offset: number): void

export class RequestSource {
  constructor(options: RequestSourceOptions)
  below(bound: number): number
  sawCas(key: string, cas: number): void
  next(nowSeconds: number): Request
}
