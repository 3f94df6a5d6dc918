/** Kinds of value that only the options of tokens have. */
import { type Kind, Refusal, text } from './kind.ts'

/**
 * Those of issuers in use today. None has a secret that both sides know, and with `none` anybody signs:
 * credential/token-keys.ts knows no others either.
 */
export const SIGNED_BY: readonly string[] = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']
const SIGNED_BY_AS_WELL: readonly string[] = [
  'RS384',
  'RS512',
  'PS384',
  'PS512',
  'ES512',
  'Ed25519',
]

/** What tokens may be signed by, if that is wanted. */
export const OFFERED_ALGORITHMS: readonly string[] = [...SIGNED_BY, ...SIGNED_BY_AS_WELL]

export function tokenAlgorithm(word: string): string | Refusal {
  if (OFFERED_ALGORITHMS.includes(word)) return word
  if (word.toLowerCase() === 'none') return new Refusal('lets tokens in that nobody has signed')
  return /^HS\d+$/i.test(word)
    ? new Refusal('has an algorithm with a secret that the issuer and this server would share')
    : new Refusal(`has an algorithm that is not one of ${OFFERED_ALGORITHMS.join(', ')}`)
}

export function audience(word: string): string | Refusal {
  return word === '' ? new Refusal('has an empty audience in it') : word
}

const CLAIM_PATH_CHARS_MAX = 256

/** Each dot of it may be looked at for each login. */
export function claimPath(): Kind<string> {
  const kind = text('<claim>', 'the name of a claim')
  const check = (path: string | Refusal): string | Refusal =>
    typeof path === 'string' && path.length > CLAIM_PATH_CHARS_MAX
      ? new Refusal(`is longer than ${CLAIM_PATH_CHARS_MAX} characters`)
      : path
  return {
    ...kind,
    parse: (value) => check(kind.parse(value)),
    accept: (value) => check(kind.accept(value)),
  }
}
