import { createPrivateKey } from 'node:crypto'

/** A certificate that the server can show, with its key: what one pair of files holds. */
export interface TlsIdentity {
  /**
   * The host names that it is good for, in lower case, out of its subject's alternative names; `*.`
   * in front stands for one label. A client that asks for none of any identity's gets the first one.
   */
  readonly names: readonly string[]
  /** PEM, decrypted. As secret as the file. */
  readonly key: string
  /** PEM, the leaf first, then who signed it. */
  readonly certificate: string
}

/** The curve of its key, as OpenSSL names it; undefined: it is on none. Throws what OpenSSL says of a key that it does not take. */
export function curveOf({ key }: Pick<TlsIdentity, 'key'>): string | undefined {
  return createPrivateKey(key).asymmetricKeyDetails?.namedCurve
}
