/** Why a user could not be added, changed or removed. */

export type UserEditProblem =
  | 'user-exists'
  | 'no-such-user'
  /** The name or the password itself is not acceptable. */
  | 'invalid'
  /** The user is written in a way that only a person can change. */
  | 'layout'
  /** Somebody else is editing the file. */
  | 'locked'
  /** The file system refuses. */
  | 'file'

/** The message says what to do; it never contains a password. */
export class UserEditError extends Error {
  readonly code: UserEditProblem

  constructor(code: UserEditProblem, message: string) {
    super(message)
    this.name = 'UserEditError'
    this.code = code
  }
}
