/**
 * The words in which users.toml says things: values as TOML, and settings put into a text in which
 * everything else stays as a person has written it.
 */
import { assert } from '../base/assert.ts'
import type { TomlStatement } from './toml-layout.ts'
import { ACCESS_SETTINGS } from './users-file-access.ts'

/** What a user's entry says of its access; undefined: nothing is said, or what is said stays. */
export interface AccessSettings {
  readonly roles?: readonly string[] | undefined
  readonly rights?: readonly string[] | undefined
  readonly keyPrefixes?: readonly string[] | undefined
  readonly namespace?: string | undefined
}

/** A TOML key: bare where it may be, quoted otherwise. */
export function formatKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : formatText(key)
}

/** A TOML string. */
function formatText(text: string): string {
  const escaped = text.replace(/["\\\p{Cc}]/gu, (char) =>
    char === '"' || char === '\\'
      ? `\\${char}`
      : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return `"${escaped}"`
}

export function newlineOf(text: string): string {
  return text.includes('\r\n') ? '\r\n' : '\n'
}

export function formatVerifiers(verifiers: readonly string[], newline: string): string {
  const lines = verifiers.map((verifier) => `  "${verifier}",${newline}`)
  return `verifiers = [${newline}${lines.join('')}]`
}

export function formatAccess(access: AccessSettings = {}): string[] {
  const { roles, rights, keyPrefixes, namespace } = access
  return [
    ...(roles === undefined ? [] : [`roles = ${formatTexts(roles)}`]),
    ...(rights === undefined ? [] : [`rights = ${formatTexts(rights)}`]),
    ...(keyPrefixes === undefined ? [] : [`key_prefixes = ${formatTexts(keyPrefixes)}`]),
    ...(namespace === undefined ? [] : [`namespace = ${formatText(namespace)}`]),
  ]
}

function formatTexts(texts: readonly string[]): string {
  return `[${texts.map(formatText).join(', ')}]`
}

/**
 * Replaces what a user's `statements` say of its access. What stands there already stays in its place with
 * a new value, the rest comes behind the last setting; with `isReset` what has no new value goes.
 */
export function replaceAccess(
  text: string,
  statements: readonly TomlStatement[],
  access: AccessSettings,
  isReset: boolean,
): string {
  const [header, ...rest] = statements
  assert(header !== undefined, 'a user has a header')
  const own = rest.filter(({ path: keys }) => keys.length === 3)
  const lines = new Map(formatAccess(access).map((line) => [line.split(' ', 1)[0] ?? '', line]))
  let changed = text
  // From the end, so that the offsets in front stay true.
  const added = [...lines].filter(([key]) => !own.some(({ path: keys }) => keys[2] === key))
  const last = own.at(-1) ?? header
  const newline = newlineOf(text)
  const end = endOfLine(text, last.end)
  const addition = added.map(([, line]) => `${newline}${line}`).join('')
  changed = changed.slice(0, end) + addition + changed.slice(end)
  for (const statement of own.toReversed()) {
    const key = statement.path[2] ?? ''
    const line = lines.get(key)
    if (line !== undefined) {
      changed = changed.slice(0, statement.start) + line + changed.slice(statement.end)
    } else if (isReset && ACCESS_SETTINGS.includes(key)) {
      const start = changed.lastIndexOf('\n', statement.start) + 1
      const next = endOfLine(changed, statement.end) + 1
      changed = changed.slice(0, start) + changed.slice(next)
    }
  }
  return changed
}

function endOfLine(text: string, offset: number): number {
  const at = text.indexOf('\n', offset)
  if (at === -1) return text.length
  return text[at - 1] === '\r' ? at - 1 : at
}
