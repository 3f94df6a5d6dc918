/**
 * The SCRAM client inside kafkajs, which it does not declare: it is reached past the package's
 * types.
 */
declare module 'kafkajs/src/broker/saslAuthenticator/scram.js' {
  interface DigestDefinition {
    readonly length: number
    readonly type: string
    readonly minIterations: number
  }

  interface Exchange {
    readonly request: { encode(): Promise<Buffer> }
    readonly response: {
      decode(framed: Buffer): Promise<Buffer>
      parse(message: Buffer): Promise<unknown>
    }
  }

  interface Logger {
    debug(message: string): void
    error(message: string): void
  }

  export class SCRAM {
    constructor(
      sasl: { readonly username: string; readonly password: string },
      host: string,
      port: number,
      logger: Logger,
      saslAuthenticate: (exchange: Exchange) => Promise<unknown>,
      digest: DigestDefinition,
    )
    /** Rejects unless the server accepts the proof and then proves itself. */
    authenticate(): Promise<void>
  }

  export const DIGESTS: { readonly SHA256: DigestDefinition; readonly SHA512: DigestDefinition }
}
