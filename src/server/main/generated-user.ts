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

/** `program`: the file that runs, so that what is printed can be typed as it is. */
export function generateUser(program: string | undefined = process.argv[1]): GeneratedUser {
  const name = 'saslcached'
  const random = crypto.getRandomValues(new Uint8Array(PASSWORD_BYTES))
  const password = Buffer.from(random).toString('base64url')
  const command = commandOf(program)
  const announcement = [
    '',
    'No user is configured. One was made for this run:',
    '',
    `    user      ${name}`,
    `    password  ${password}`,
    '',
    'It is gone with this process. To make a lasting one:',
    '',
    `    ${command} user add NAME --file users.toml && ${command} --users-file users.toml`,
    '',
    '',
  ].join('\n')
  return { name, password, announcement }
}

/** How to start `program`, the file that runs. */
export function commandOf(program: string | undefined): string {
  // Of a package that is installed npm makes a link named as the command; else it is a file for node.
  return program?.endsWith('.js') ? `node ${program}` : 'saslcached'
}
