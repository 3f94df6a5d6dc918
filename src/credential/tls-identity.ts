import { createPrivateKey, X509Certificate } from 'node:crypto'

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

/** The curves of the keys of certificates in PEM. Throws what OpenSSL says of one that it does not take. */
export function curvesOf(certificates: string): readonly string[] {
  return certificates
    .split(/(?=-----BEGIN)/)
    .filter((text) => text.startsWith('-----BEGIN'))
    .flatMap((text) => new X509Certificate(text).publicKey.asymmetricKeyDetails?.namedCurve ?? [])
}
