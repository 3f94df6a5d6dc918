/** What a worker has to take tokens of the issuer in token-issuer.ts, with a clock that a test moves. */
import { parseKeySet, type TokenKeySet } from '../../src/credential/token-keys.ts'
import type { TokenPolicy } from '../../src/credential/token-verifier.ts'
import { TokenLogins } from '../../src/sasl/token-logins.ts'
import type { ManualClock } from './manual-clock.ts'
import { AUDIENCE, ISSUER, keySetText, NOW_SECONDS, type SigningKey } from './token-issuer.ts'

export const TOKEN_POLICY: TokenPolicy = {
  issuer: ISSUER,
  audiences: [AUDIENCE],
  algorithms: ['ES256', 'RS256'],
  clockSkewSeconds: 60,
  userClaim: 'sub',
  rolesClaim: 'roles',
  rolesPrefix: '',
}

export function keySetOf(...keys: readonly SigningKey[]): TokenKeySet {
  const parsed = parseKeySet(keySetText(...keys))
  if (typeof parsed === 'string') throw new Error(parsed)
  return parsed
}

/** It is NOW_SECONDS when the clock begins. */
export function manualTokenLogins(
  clock: ManualClock,
  keys: TokenKeySet,
  ask: () => void = () => undefined,
): TokenLogins {
  return new TokenLogins({
    policy: TOKEN_POLICY,
    keys,
    asksForKeys: true,
    ask,
    epochSeconds: () => NOW_SECONDS + clock.nowMs() / 1000,
    monotonicMs: () => clock.nowMs(),
    after: (ms, run) => clock.after(ms, run),
  })
}
