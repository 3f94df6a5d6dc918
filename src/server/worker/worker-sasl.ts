/**
 * What the logins of one worker work with, put together from its settings: mechanisms, users, tokens, the
 * turns at key derivation, and what failed logins are held against.
 */
import { deriveSaltedPassword } from '../../credential/verifier.ts'
import {
  createSaslEnvironment,
  type SaslEnvironment,
  type SaslEnvironmentOptions,
} from '../../sasl/environment.ts'
import type { LoginThrottle } from '../../sasl/throttle/login-throttle.ts'
import { TokenLogins, type TokenLoginsOptions } from '../../sasl/token-logins.ts'
import { loginCounters } from './login-counters.ts'
import type { StrangerTurns } from './stranger-turns.ts'
import type { ThreadClock } from './thread-clock.ts'
import type { WorkerAudit } from './worker-audit.ts'
import type { WorkerSettings } from './worker-messages.ts'

/** What the main thread does for logins, and hears of them. */
type FromMain = Pick<TokenLoginsOptions, 'ask' | 'epochSeconds'> &
  Pick<SaslEnvironmentOptions, 'onRemembered'>

/** Undefined without authentication. */
export function createSasl(
  settings: Pick<WorkerSettings, 'auth'>,
  lane: Float64Array,
  clock: ThreadClock,
  turns: Pick<StrangerTurns, 'derived'>,
  throttle: LoginThrottle | undefined,
  audit: WorkerAudit | undefined,
  main: FromMain,
): SaslEnvironment | undefined {
  const { auth } = settings
  if (auth === undefined) return undefined
  const monotonicMs = (): number => clock.nowMs()
  const after = (delayMs: number, run: () => void): void => clock.after(delayMs, run)
  return createSaslEnvironment({
    snapshot: auth.credentials,
    mechanisms: auth.mechanisms,
    certificateField: auth.certificateField,
    derivationsMax: auth.keyDerivationsMax,
    derivationQueueMax: auth.derivationQueueMax,
    // What comes of a key is a stranger's affair, too: whoever is logged in does not wait for a row of them.
    derive: async (password, parameters) => {
      const key = await deriveSaltedPassword(password, parameters)
      await new Promise<void>((resolve) => turns.derived(resolve))
      return key
    },
    monotonicMs,
    epochSeconds: main.epochSeconds,
    loginMemoryKey: auth.loginMemoryKey,
    onRemembered: main.onRemembered,
    tokens:
      auth.tokens === undefined
        ? undefined
        : new TokenLogins({ ...auth.tokens, ...main, monotonicMs, after }),
    counters: loginCounters(lane),
    throttle,
    mayLogIn: () => audit?.mayLogIn ?? true,
  })
}
