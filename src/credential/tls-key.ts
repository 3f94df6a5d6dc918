/** Whether a private key is fit for a server's TLS: known to clients, not to be broken, quick enough. */
import type { KeyObject } from 'node:crypto'

/** NIST SP 800-57: below it a key is not one. */
const RSA_BITS_MIN = 2048
/** One that takes seconds a handshake is not one that is meant. */
const RSA_BITS_MAX = 8192
const CURVES: readonly string[] = ['prime256v1', 'secp384r1', 'secp521r1']
/** A signature with more takes a multiple of the time, in which its thread serves nobody. */
const RSA_BITS_QUICK = 2048

/** Why a key is not to be used; undefined if it may be. */
export function weaknessOf(key: KeyObject): string | undefined {
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  switch (key.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      if (modulusLength < RSA_BITS_MIN) {
        return `the RSA key has ${modulusLength} bits, which can be broken: make one of ${RSA_BITS_MIN} or more`
      }
      return modulusLength > RSA_BITS_MAX
        ? `the RSA key has ${modulusLength} bits: each handshake would take seconds; ${RSA_BITS_MAX} at most`
        : undefined
    case 'ec':
      return CURVES.includes(namedCurve)
        ? undefined
        : `the key is on the curve ${namedCurve}, which clients do not know: use prime256v1`
    case 'ed25519':
    case 'ed448':
      return undefined
    default:
      return `TLS has no use for a key of the kind ${key.asymmetricKeyType}: use ECDSA or RSA`
  }
}

/** What is to be said of a key that is good but slow; undefined if it is not. */
export function slownessOf(key: KeyObject): string | undefined {
  const { modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  if (modulusLength <= RSA_BITS_QUICK) return undefined
  return `the RSA key has ${modulusLength} bits: each handshake keeps the clients of a thread waiting for milliseconds, and strangers can ask for many; an ECDSA key on prime256v1 is as strong and takes a hundredth`
}
