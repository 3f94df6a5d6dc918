/**
 * The options of tokens, as far as they depend on each other: which of them make a whole, and what
 * OAUTHBEARER is announced by. Half of a configuration is a mistake, never one that lets more in.
 */
import type { KeyOrigin, TokenConfig } from './config.ts'
import { OPTIONS, type OptionName, type OptionValues } from './options.ts'

/** What is asked of whoever resolves the configuration. */
export interface OAuthInputs {
  readonly values: OptionValues
  /** The absolute path of an option, undefined where there is none. */
  readonly path: (
    option: 'oauth_jwks_file' | 'oauth_jwks_ca_file' | 'oauth_jwks_token_file',
  ) => string | undefined
  readonly problem: (option: OptionName, message: string) => void
}

const MECHANISM = 'OAUTHBEARER'

/** These alone do nothing. */
const WITH_ISSUER: readonly OptionName[] = [
  'oauth_audience',
  'oauth_jwks_file',
  'oauth_jwks_url',
  'oauth_jwks_ca_file',
  'oauth_jwks_token_file',
  'oauth_algorithms',
  'oauth_clock_skew_seconds',
  'oauth_user_claim',
  'oauth_roles_claim',
  'oauth_roles_prefix',
]

/** Undefined where no tokens are taken, or where there are problems. */
export function resolveOAuth(inputs: OAuthInputs): TokenConfig | undefined {
  const { values, problem } = inputs
  const { oauth_issuer: issuer, oauth_audience: audiences, oauth_algorithms: algorithms } = values
  if (issuer === '') {
    for (const option of WITH_ISSUER.filter((name) => !isDefault(name, values))) {
      problem(option, 'has no effect without an issuer (--oauth-issuer)')
    }
    if (values.mechanisms.includes(MECHANISM)) {
      problem('mechanisms', `has ${MECHANISM} in it, which takes an issuer (--oauth-issuer)`)
    }
    return undefined
  }
  // A token for another service of the same issuer must not be good here.
  if (audiences.length === 0)
    problem('oauth_issuer', 'takes an audience as well (--oauth-audience)')
  if (algorithms.length === 0) problem('oauth_algorithms', 'is empty; no token would be taken')
  if (values.oauth_user_claim === '')
    problem('oauth_user_claim', 'is empty; no token would name a user')
  if (!isDefault('mechanisms', values) && !values.mechanisms.includes(MECHANISM)) {
    problem('oauth_issuer', `has no effect: ${MECHANISM} is not among the --mechanisms`)
  }
  if (values.oauth_roles_claim === '' && values.oauth_roles_prefix !== '') {
    problem('oauth_roles_prefix', 'has no effect without a claim (--oauth-roles-claim)')
  }
  const keys = keyOrigin(inputs)
  if (keys === undefined) return undefined
  return {
    issuer,
    audiences,
    keys,
    algorithms,
    clockSkewSeconds: values.oauth_clock_skew_seconds,
    userClaim: values.oauth_user_claim,
    rolesClaim: values.oauth_roles_claim === '' ? undefined : values.oauth_roles_claim,
    rolesPrefix: values.oauth_roles_prefix,
  }
}

/** Whoever has an issuer and names no mechanisms of its own has OAUTHBEARER as well. */
export function announcedMechanisms(values: OptionValues): readonly string[] {
  const { mechanisms, oauth_issuer: issuer } = values
  return issuer === '' || !isDefault('mechanisms', values) ? mechanisms : [...mechanisms, MECHANISM]
}

function keyOrigin({ values, path, problem }: OAuthInputs): KeyOrigin | undefined {
  const file = path('oauth_jwks_file')
  const url = values.oauth_jwks_url
  const caFile = path('oauth_jwks_ca_file')
  const tokenFile = path('oauth_jwks_token_file')
  if (url === '') {
    if (caFile !== undefined) problem('oauth_jwks_ca_file', 'has no effect without a URL')
    if (tokenFile !== undefined) problem('oauth_jwks_token_file', 'has no effect without a URL')
    if (file !== undefined) return { kind: 'file', path: file }
    problem('oauth_issuer', 'takes its keys as well (--oauth-jwks-file or --oauth-jwks-url)')
    return undefined
  }
  if (file !== undefined) problem('oauth_jwks_file', 'and a URL are set; keep one of them')
  const trouble = problemWithUrl(url)
  if (trouble !== undefined) problem('oauth_jwks_url', trouble)
  return { kind: 'url', url, caFile, tokenFile }
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** Keys that somebody on the way can change are no keys. */
function problemWithUrl(text: string): string | undefined {
  if (!URL.canParse(text)) return `${JSON.stringify(text)} is not a URL`
  const { protocol, hostname, username, password, hash } = new URL(text)
  if (username !== '' || password !== '') {
    return 'has a user or a password in it; use --oauth-jwks-token-file'
  }
  if (hash !== '') return `${JSON.stringify(text)} has a fragment, which no server sees`
  if (protocol === 'https:') return undefined
  if (protocol !== 'http:') return `${JSON.stringify(text)} is not one of https`
  return LOOPBACK.test(hostname)
    ? undefined
    : `${JSON.stringify(text)} is not one of https; http is taken on loopback alone`
}

/** A file that names every option with its default says nothing by that. */
function isDefault<Name extends OptionName>(name: Name, values: OptionValues): boolean {
  const { kind, default: value } = OPTIONS[name]
  return kind.format(values[name]) === kind.format(value)
}
