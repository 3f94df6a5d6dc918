/**
 * The user that the server makes for one run when none is configured: it never starts open, and
 * whoever tries it out gets in all the same.
 */

export interface GeneratedUser {
  readonly name: string
  readonly password: string
  /** For the terminal: the only place where the password is ever shown. */
  readonly announcement: string
}

/** 144 bits, in characters that every shell and URL takes as they are. */
const PASSWORD_BYTES = 18

export function generateUser(): GeneratedUser {
  const name = 'saslcached'
  const random = crypto.getRandomValues(new Uint8Array(PASSWORD_BYTES))
  const password = Buffer.from(random).toString('base64url')
  const announcement = [
    '',
    'No user is configured. One was made for this run:',
    '',
    `    user      ${name}`,
    `    password  ${password}`,
    '',
    'It is gone with this process. To make a lasting one:',
    '',
    '    saslcached user add NAME --file users.toml && saslcached --users-file users.toml',
    '',
    '',
  ].join('\n')
  return { name, password, announcement }
}
