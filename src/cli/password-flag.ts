/** Flags by which somebody gives a password on a command line. No command has any, and each that sees one says why. */

/** As a message begins; what it is taken from instead is the command's to say. */
export const PASSWORD_SEEN =
  'a password is taken from no command line, because everybody on this machine can read it there (this one has been seen: change it)'

const PASSWORD_FLAG =
  /^--?(?!no-)(?:[a-z]+-)?(?:pw|pas{1,2}(?:phrase|w(?:or)?[dt]?)?|secret)(?:=|$)/i

/** Also misspelt, and with its value behind `=`. */
export function isPasswordFlag(argument: string): boolean {
  return PASSWORD_FLAG.test(argument)
}
