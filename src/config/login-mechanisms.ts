/**
 * Which mechanisms a configuration means: those that it lists, and EXTERNAL where it says what of a
 * client's certificate names the user. What is announced of them on a connection is sasl's business.
 */
import type { OptionName, OptionValues } from './options.ts'

type Values = Pick<OptionValues, 'mechanisms' | 'tls_user_from'>

export function resolveMechanisms(
  { mechanisms, tls_user_from: userFrom }: Values,
  problem: (option: OptionName, message: string) => void,
): readonly string[] {
  if (mechanisms.length === 0) problem('mechanisms', 'is empty; nobody could log in')
  const listed = [...new Set(mechanisms)]
  const isListed = listed.includes('EXTERNAL')
  if (userFrom === 'off') {
    if (isListed) {
      problem(
        'mechanisms',
        'has EXTERNAL; say with --tls-user-from what of a certificate is the user',
      )
    }
    return listed
  }
  // With PLAIN as its only neighbour it is never announced: see sasl/mechanisms.ts.
  if (listed.includes('PLAIN') && !listed.some((name) => name.startsWith('SCRAM-'))) {
    problem(
      'tls_user_from',
      'takes a SCRAM in --mechanisms, or no PLAIN: libsasl2 prefers EXTERNAL to PLAIN even where it has no certificate',
    )
  }
  return isListed ? listed : ['EXTERNAL', ...listed]
}

/** What is wrong with names that are not all known; `known` are those that can be configured. */
export function refusalOfMechanisms(
  names: readonly string[],
  known: readonly string[],
): string | undefined {
  const unknown = names.find((name) => !known.includes(name))
  if (unknown === undefined) return undefined
  const bare = unknown.replace(/-PLUS$/, '')
  return bare !== unknown && known.includes(bare)
    ? `${unknown} cannot be chosen: it stands beside ${bare} wherever there is TLS`
    : `${JSON.stringify(names.join(','))} has a mechanism that is not one of ${known.join(', ')}`
}
