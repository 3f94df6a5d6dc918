/**
 * One user as a file states it, before passwords are hashed: what every file format is read into.
 */
import { ACCESS_ALL, type Access, type Role } from './access.ts'
import type { CredentialFileProblem } from './credential-file-error.ts'
import type { NamespaceEntry } from './namespaces.ts'

export interface UserEntry {
  /** Prepared (SASLprep). */
  readonly name: string
  readonly file: string
  /** 0 for a user that comes from the environment. */
  readonly line: number
  /** Text forms, checked; empty when the entry has passwords. */
  readonly verifiers: readonly string[]
  /** Plaintext, one or two; empty when the entry has verifiers. Nobody logs in where both are empty. */
  readonly passwords: readonly string[]
  /** Undefined: the entry says nothing of it. */
  readonly access?: Access | undefined
  /** Roles that the entry names; what they give is in `access`. */
  readonly roles?: readonly string[] | undefined
}

/** Who has no entry about it may do everything. */
export function accessOf({ access }: UserEntry): Access {
  return access ?? ACCESS_ALL
}

export interface ReadResult {
  readonly users: readonly UserEntry[]
  readonly decoyKey: Uint8Array | undefined
  /** Also those that are built in. */
  readonly roles: readonly Role[]
  readonly namespaces: readonly NamespaceEntry[]
  /** Any problem means that `users` must not be used. */
  readonly problems: readonly CredentialFileProblem[]
  /** What is taken otherwise than somebody may have meant it. */
  readonly warnings?: readonly CredentialFileProblem[]
}

/** Limits on credential files; each has its message and its test. */
export const FILE_BYTES_MAX: number = 16 * 1024 * 1024
export const USERS_MAX = 10_000
/** Each costs a key derivation for every hash when the file is read: some 10 ms. */
export const PLAINTEXT_USERS_MAX = 1000
export const PASSWORDS_PER_USER_MAX = 2
