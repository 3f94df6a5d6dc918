/**
 * The messages of SCRAM (RFC 5802, 7), client to server parsed, server to client formatted. Strict:
 * the attributes in their order and nothing that the grammar does not have. The parts that both
 * sides sign are kept as they came, never built anew.
 */
import { NAME_BYTES_MAX } from '../credential/prepare.ts'
import { encodeBase64 } from '../credential/verifier.ts'

/** Names grow threefold when every character is escaped; authzid and name may both be that long. */
export const SCRAM_MESSAGE_BYTES_MAX = 8192
const NONCE_CHARS_MAX = 512

/** gs2-cbind-flag: binds to the channel, cannot, or could but believes that the server cannot. */
type BindingFlag = 'p' | 'n' | 'y'

export interface ClientFirst {
  /** `n,a=alice,` as it came: what the client must repeat in `c=`. */
  readonly gs2Header: string
  readonly bindingFlag: BindingFlag
  /** Of what type the binding is that `p` asks for; else empty. */
  readonly bindingType: string
  readonly authorizationIdentity: string
  readonly userName: string
  readonly nonce: string
  /** The message without its GS2 header, as it came. */
  readonly bare: string
}

export interface ClientFinal {
  readonly channelBinding: string
  readonly nonce: string
  readonly proof: string
  /** The message without its proof, as it came. */
  readonly withoutProof: string
}

/** %x21-2B and %x2D-7E: printable ASCII without comma and space. */
const PRINTABLE = /^[\x21-\x2b\x2d-\x7e]+$/
/**
 * attr-val of an optional extension: not `m`, which must be refused, nor another defined letter.
 */
const EXTENSION = /^[A-Zbdf-hj-loqtuw-z]=[^\0,]+$/
const BINDING_FLAG = /^(?:([ny])|p=([A-Za-z0-9.-]+))$/

/** client-first-message; undefined if it is not one. */
export function parseClientFirst(text: string): ClientFirst | undefined {
  const [flag = '', authorization, ...bareParts] = text.split(',')
  if (authorization === undefined) return undefined
  const [isFlag, bindingFlag = 'p', bindingType = ''] = BINDING_FLAG.exec(flag) ?? []
  if (isFlag === undefined) return undefined
  let authorizationIdentity: string | undefined = ''
  if (authorization !== '') {
    if (!authorization.startsWith('a=')) return undefined
    authorizationIdentity = unescapeName(authorization.slice(2))
  }
  const [name = '', nonce = '', ...extensions] = bareParts
  if (!name.startsWith('n=') || !nonce.startsWith('r=')) return undefined
  const userName = unescapeName(name.slice(2))
  if (authorizationIdentity === undefined || userName === undefined) return undefined
  if (!isNonce(nonce.slice(2)) || !extensions.every(isExtension)) return undefined
  const gs2Header = text.slice(0, flag.length + authorization.length + 2)
  return {
    gs2Header,
    bindingFlag: bindingFlag as BindingFlag,
    bindingType,
    authorizationIdentity,
    userName,
    nonce: nonce.slice(2),
    bare: text.slice(gs2Header.length),
  }
}

/** client-final-message; undefined if it is not one. Nothing is decoded or compared yet. */
export function parseClientFinal(text: string): ClientFinal | undefined {
  const parts = text.split(',')
  const [binding = '', nonce = '', ...rest] = parts
  const proof = rest.pop() ?? ''
  if (!binding.startsWith('c=') || !nonce.startsWith('r=') || !proof.startsWith('p='))
    return undefined
  if (!isNonce(nonce.slice(2)) || !rest.every(isExtension)) return undefined
  return {
    channelBinding: binding.slice(2),
    nonce: nonce.slice(2),
    proof: proof.slice(2),
    withoutProof: text.slice(0, text.length - proof.length - 1),
  }
}

export function formatServerFirst(nonce: string, salt: Uint8Array, iterations: number): string {
  return `r=${nonce},s=${encodeBase64(salt)},i=${iterations}`
}

export function formatServerFinal(serverSignature: Uint8Array): string {
  return `v=${encodeBase64(serverSignature)}`
}

/** saslname: `=2C` and `=3D` stand for comma and equals sign; any other `=` is an error. */
export function unescapeName(escaped: string): string | undefined {
  if (escaped === '' || escaped.includes('\0')) return undefined
  if (/=(?!2C|3D)/.test(escaped)) return undefined
  const name = escaped.replaceAll('=2C', ',').replaceAll('=3D', '=')
  return Buffer.byteLength(name) <= NAME_BYTES_MAX ? name : undefined
}

function isNonce(text: string): boolean {
  return text.length <= NONCE_CHARS_MAX && PRINTABLE.test(text)
}

function isExtension(text: string): boolean {
  return EXTENSION.test(text)
}
