/**
 * SCRAM (RFC 5802, RFC 7677), the client's side, one login:
 *
 *   client-first -> server-first -> client-final -> `v=...`
 *
 * The server may be anybody's, so it is held to the grammar, to our nonce, and to a number of iterations
 * that neither burns our processor nor makes the password cheap to guess from our proof. It has to
 * prove that it knows the password: `isServerProven` is true only after its signature was right.
 *
 * Under the name with -PLUS the login is bound to the TLS connection (RFC 5929, RFC 9266). Flag `y` tells
 * a server that we could have bound: one that offered to knows then that somebody cut its list.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { unreachable } from '../base/unreachable.ts'
import { prepare } from '../credential/prepare.ts'
import {
  decodeBase64,
  deriveSaltedPassword,
  encodeBase64,
  ITERATIONS_MAX,
  ITERATIONS_MIN,
  type ScramHash,
} from '../credential/verifier.ts'
import { ClientError } from './client-error.ts'
import { decodeUtf8 } from './printable.ts'

const MESSAGE_BYTES_MAX = 8192
const SALT_BYTES_MAX = 1024
const NONCE_BYTES = 18

/** gs2-cbind-flag: cannot bind, could but was not offered to, binds. */
export type Binding =
  | { readonly flag: 'n' | 'y' }
  | { readonly flag: 'p'; readonly type: string; readonly data: Uint8Array }

export interface ScramLogin {
  readonly hash: ScramHash
  readonly user: string
  readonly password: string
  readonly binding: Binding
  /** For vectors; random without. */
  readonly nonce?: string
}

type State =
  | { readonly kind: 'expects-first' }
  | { readonly kind: 'expects-signature'; readonly signature: Buffer }
  | { readonly kind: 'over' }

const SERVER_FIRST =
  /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=([1-9][0-9]{0,9})(?:,[A-Za-z]=[^,]+)*$/
const SERVER_FINAL = /^(?:v=([A-Za-z0-9+/=]+)|e=[^,]+)(?:,[A-Za-z]=[^,]+)*$/

export class ScramClient {
  readonly #login: ScramLogin
  readonly #gs2Header: string
  readonly #bare: string
  readonly #nonce: string
  #state: State = { kind: 'expects-first' }
  #isServerProven = false

  constructor(login: ScramLogin) {
    const { binding, user } = login
    this.#login = login
    this.#nonce = login.nonce ?? randomBytes(NONCE_BYTES).toString('base64')
    this.#gs2Header = binding.flag === 'p' ? `p=${binding.type},,` : `${binding.flag},,`
    this.#bare = `n=${escapeName(prepare(user))},r=${this.#nonce}`
  }

  /** client-first-message. */
  get first(): Buffer {
    return Buffer.from(this.#gs2Header + this.#bare)
  }

  get isServerProven(): boolean {
    return this.#isServerProven
  }

  /** The answer to a challenge: client-final-message, or nothing once the server has proven itself. */
  async next(challenge: Uint8Array): Promise<Buffer> {
    const state = this.#state
    this.#state = { kind: 'over' }
    const text = challenge.length <= MESSAGE_BYTES_MAX ? decodeUtf8(challenge) : undefined
    switch (state.kind) {
      case 'expects-first':
        return await this.#answerFirst(text ?? '')
      case 'expects-signature':
        this.#checkSignature(text ?? '', state.signature)
        return Buffer.alloc(0)
      case 'over':
        throw nonsense('it goes on after the end')
      default:
        return unreachable(state)
    }
  }

  async #answerFirst(serverFirst: string): Promise<Buffer> {
    const { hash, password, binding } = this.#login
    // `m=` asks for an extension that we do not know (RFC 5802, 5.1), and does not fit the grammar here.
    const [, nonce = '', saltText = '', iterationsText = ''] = SERVER_FIRST.exec(serverFirst) ?? []
    if (nonce === '') throw nonsense('its first message is none of SCRAM')
    if (!nonce.startsWith(this.#nonce) || nonce.length === this.#nonce.length) {
      throw nonsense('its nonce does not go on from ours')
    }
    const salt = decodeBase64(saltText)
    if (salt === undefined || salt.length > SALT_BYTES_MAX) throw nonsense('its salt is not base64')
    const iterations = Number(iterationsText)
    if (iterations < ITERATIONS_MIN || iterations > ITERATIONS_MAX) {
      throw new ClientError(
        'protocol',
        iterations < ITERATIONS_MIN
          ? `the server asks for ${iterations} iterations of SCRAM, with which the password could be guessed from what it is sent; at least ${ITERATIONS_MIN} are accepted (RFC 7677): the user's password has to be set anew there`
          : `the server asks for ${iterations} iterations of SCRAM, which would take this machine too long; at most ${ITERATIONS_MAX} are accepted: the user's password has to be set anew there with fewer`,
      )
    }
    const salted = await deriveSaltedPassword(prepare(password), { hash, iterations, salt })
    const hmac = (key: Uint8Array, message: string): Buffer =>
      createHmac(hash.digest, key).update(message).digest()
    const clientKey = hmac(salted, 'Client Key')
    const storedKey = createHash(hash.digest).update(clientKey).digest()
    const bound = binding.flag === 'p' ? binding.data : Buffer.alloc(0)
    const channelBinding = encodeBase64(Buffer.concat([Buffer.from(this.#gs2Header), bound]))
    const withoutProof = `c=${channelBinding},r=${nonce}`
    const authMessage = `${this.#bare},${serverFirst},${withoutProof}`
    const clientSignature = hmac(storedKey, authMessage)
    const proof = clientKey.map((byte, at) => byte ^ (clientSignature[at] ?? 0))
    const signature = hmac(hmac(salted, 'Server Key'), authMessage)
    this.#state = { kind: 'expects-signature', signature }
    return Buffer.from(`${withoutProof},p=${encodeBase64(proof)}`)
  }

  #checkSignature(serverFinal: string, expected: Buffer): void {
    const [whole, text = ''] = SERVER_FINAL.exec(serverFinal) ?? []
    if (whole === undefined) throw nonsense('its last message is none of SCRAM')
    if (text === '') throw new ClientError('login', 'the server refused the login')
    const signature = decodeBase64(text)
    if (signature?.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw new ClientError('identity', UNPROVEN)
    }
    this.#isServerProven = true
  }
}

/** What is said of a server that lets us in without having shown that it knows the password. */
export const UNPROVEN =
  'the server did not prove that it knows the password: it is not the server that it should be, or somebody is in between'

/** RFC 5802, 5.1: `=` and `,` are escaped. */
function escapeName(name: string): string {
  return name.replaceAll('=', '=3D').replaceAll(',', '=2C')
}

function nonsense(what: string): ClientError {
  return new ClientError('protocol', `the login makes no sense: ${what}`)
}
