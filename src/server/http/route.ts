/**
 * What the HTTP listener answers: a table of paths, each with the right that it takes and the answer
 * that it gives. Routes know nothing of sockets, of how a client logs in, or of other clients: the
 * listener (http-listener.ts) asks for the right, keeps an answer for a moment, and writes it.
 *
 * Invariant: a route changes nothing. It is asked by GET and HEAD alone, and one answer may be given to
 * all who ask for the same form of it and have the same right, so it depends on nothing but its form.
 */
import type { Right } from '../../credential/rights.ts'

export interface RouteRequest {
  /** Of the URL, decoded; the names that a route does not know mean nothing. */
  readonly query: URLSearchParams
  /** The header, or the empty string. */
  readonly accept: string
  /** False: whoever asks is to be told of the default namespace, and not of others. */
  readonly seesAll: boolean
}

export interface RouteAnswer {
  readonly status: number
  /** With its charset. */
  readonly contentType: string
  readonly body: string | Uint8Array
  /** Beside those that every answer has; names in lower case. */
  readonly headers?: Readonly<Record<string, string>>
}

export interface Route {
  /** Matched whole, as it is: `/metrics`. */
  readonly path: string
  /** With `--http-auth`, who may ask; undefined: everybody, also without a login. */
  readonly right?: Right
  /** It tells of all namespaces in each of its forms: not for who is not to be told of them. */
  readonly tellsOfAll?: boolean
  /** For so long an answer is given to others who ask for the same form; 0: to those who ask at once. */
  readonly freshMs: number
  /** Which of its forms is asked for, one of few, since each is kept; undefined: there is one. */
  form?(request: RouteRequest): string
  /** May throw, or reject: the client gets status 500, and the log the reason. */
  answer(form: string): RouteAnswer | Promise<RouteAnswer>
}

export const TEXT_PLAIN = 'text/plain; charset=utf-8'
