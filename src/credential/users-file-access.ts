/**
 * The part of users.toml that says who may do what, where:
 *
 *   [namespaces.shop]
 *   memory = "64m"
 *   [roles.shop-reader]
 *   rights = ["read", "touch"]
 *   key_prefixes = ["product:", "price:"]
 *   namespace = "shop"
 *   [users.alice]
 *   roles = ["shop-reader"]
 *   rights = ["stats"]
 *
 * Namespaces and roles are read first, so that whatever names one can be held against them.
 */
import { KEY_BYTES_MAX } from '../base/key-bytes-max.ts'
import { NAMESPACES_MAX } from '../base/namespaces-max.ts'
import {
  type Access,
  type AccessPart,
  BUILT_IN_ROLES,
  isConflict,
  joinAccess,
  KEY_PREFIXES_MAX,
  partOfRole,
  ROLES_MAX,
  ROLES_PER_USER_MAX,
  type Role,
} from './access.ts'
import { type FileProblems, isTable, quoteName, type TomlPath } from './file-problems.ts'
import { NAMESPACE_BYTES_MIN, type NamespaceEntry } from './namespaces.ts'
import { NAMESPACE_DEFAULT_NAME } from './principal.ts'
import { isRight, RIGHT_NAMES, type Right, rightsOf } from './rights.ts'
import type { TomlLines } from './toml-layout.ts'

/** What a role has, and a user beside its passwords and `roles`. */
const ROLE_SETTINGS = ['rights', 'key_prefixes', 'namespace']
export const ACCESS_SETTINGS: readonly string[] = ['roles', ...ROLE_SETTINGS]
const NAMESPACE_SETTINGS = ['memory']

/** Names of roles and namespaces stand in logs, statistics and tokens: they have no blank. */
const NAME = /^[A-Za-z0-9_.:/@+-]{1,64}$/
const NAME_EXPECTED = 'a name has 1 to 64 of the characters A-Z a-z 0-9 _ . : / @ + -'
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what no key of a text client has.
const NO_PREFIX = /[\u0000-\u0020\u007f]/
const MEMORY = /^(\d{1,15})([kmg]?)$/i
const MEMORY_EXPECTED = 'memory must be a size of at least 1m: bytes, or a text like "64m" or "1g"'
const UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 }

/** What a user's entry says of its access; both undefined where it says nothing. */
export interface StatedAccess {
  readonly access: Access | undefined
  /** As the entry names them. */
  readonly roles: readonly string[] | undefined
}

export class AccessReader {
  readonly namespaces: NamespaceEntry[] = []
  readonly #roles: Map<string, Role> = new Map(BUILT_IN_ROLES.map((role) => [role.name, role]))
  readonly #file: string
  readonly #lines: TomlLines
  readonly #problems: FileProblems

  constructor(file: string, lines: TomlLines, problems: FileProblems) {
    this.#file = file
    this.#lines = lines
    this.#problems = problems
  }

  /** Also those that are built in. */
  get roles(): readonly Role[] {
    return [...this.#roles.values()]
  }

  readNamespaces(table: unknown): void {
    for (const [name, setting] of this.#entries('namespaces', table, NAMESPACES_MAX)) {
      const path = ['namespaces', name]
      if (name === NAMESPACE_DEFAULT_NAME) {
        this.#problems.add(path, 'the default namespace has what the others leave; remove it')
        continue
      }
      this.#problems.refuseUnknown(setting, NAMESPACE_SETTINGS, path)
      const memoryBytes = parseMemory(setting.memory)
      if (memoryBytes === undefined) this.#problems.add([...path, 'memory'], MEMORY_EXPECTED)
      // Also one that is not good: it is there, and who names it need not be told otherwise.
      this.namespaces.push({
        name,
        file: this.#file,
        line: this.#lines.find(path),
        memoryBytes: memoryBytes ?? 0,
      })
    }
  }

  readRoles(table: unknown): void {
    for (const [name, setting] of this.#entries('roles', table, ROLES_MAX)) {
      const path = ['roles', name]
      if (this.#roles.has(name)) {
        this.#problems.add(path, 'this role is built in; give yours another name')
        continue
      }
      this.#problems.refuseUnknown(setting, ROLE_SETTINGS, path)
      if (setting.rights === undefined) {
        this.#problems.add(path, `a role must have rights, some of ${RIGHT_NAMES.join(', ')}`)
      }
      const part = this.#readPart(setting, path, 'this role')
      const joined = joinAccess([part])
      if (isConflict(joined)) this.#problems.add([...path, joined.setting], joined.message)
      const { keyPrefixes, namespace } = part
      this.#roles.set(name, { name, rights: part.rights ?? 0, keyPrefixes, namespace })
    }
  }

  /** Of a user's table. */
  readAccess(user: Record<string, unknown>, path: TomlPath): StatedAccess {
    if (ACCESS_SETTINGS.every((name) => user[name] === undefined)) {
      return { access: undefined, roles: undefined }
    }
    const problemsBefore = this.#problems.count
    const own = this.#readPart(user, path, 'the user')
    const roles = this.#readRoleNames(user.roles, [...path, 'roles'])
    const parts = (roles ?? []).flatMap((name) => {
      const role = this.#roles.get(name)
      return role === undefined ? [] : [partOfRole(role)]
    })
    const joined = joinAccess([own, ...parts])
    if (!isConflict(joined)) return { access: joined, roles }
    // What is wrong by itself contradicts nothing.
    if (this.#problems.count === problemsBefore) {
      const setting = user[joined.setting] === undefined ? 'roles' : joined.setting
      this.#problems.add([...path, setting], joined.message)
    }
    return { access: undefined, roles }
  }

  /** The tables of that name with good names; an empty list if there are too many. */
  #entries(
    kind: 'namespaces' | 'roles',
    table: unknown,
    countMax: number,
  ): [string, Record<string, unknown>][] {
    if (table === undefined) return []
    if (!isTable(table)) {
      this.#problems.add([kind], `${kind} must be a table: [${kind}.shop]`)
      return []
    }
    const all = Object.entries(table)
    if (all.length > countMax) {
      this.#problems.add(
        [kind],
        `the file has ${all.length} ${kind}; at most ${countMax} are allowed`,
      )
      return []
    }
    return all.filter((entry): entry is [string, Record<string, unknown>] => {
      const [name, setting] = entry
      if (!NAME.test(name)) this.#problems.add([kind, name], NAME_EXPECTED)
      else if (!isTable(setting)) this.#problems.add([kind, name], 'this must be a table')
      else return true
      return false
    })
  }

  #readPart(table: Record<string, unknown>, path: TomlPath, place: string): AccessPart {
    const { rights, key_prefixes: prefixes, namespace } = table
    return {
      place,
      rights: this.#readRights(rights, [...path, 'rights']),
      keyPrefixes: this.#readPrefixes(prefixes, [...path, 'key_prefixes']),
      namespace: this.#readNamespaceName(namespace, [...path, 'namespace']),
    }
  }

  #readRights(setting: unknown, path: TomlPath): number | undefined {
    const names = this.#readTexts(setting, path, 'rights', RIGHT_NAMES.length)
    if (names === undefined) return undefined
    const good = names.filter((name, index): name is Right => {
      if (isRight(name)) return true
      const message = `unknown right ${quoteName(name)}; known are ${RIGHT_NAMES.join(', ')}`
      this.#problems.add([...path, index], message)
      return false
    })
    return rightsOf(good)
  }

  #readPrefixes(setting: unknown, path: TomlPath): readonly string[] | undefined {
    const prefixes = this.#readTexts(setting, path, 'key_prefixes', KEY_PREFIXES_MAX)
    for (const [index, prefix] of prefixes?.entries() ?? []) {
      const problem = problemWithPrefix(prefix)
      const wider = prefixes?.find(
        (other, at) => at !== index && other !== prefix && prefix.startsWith(other),
      )
      if (problem !== undefined) this.#problems.add([...path, index], problem)
      else if (wider !== undefined && wider !== '') {
        const message = `${quoteName(prefix)} begins with ${quoteName(wider)}, which stands there, too; remove one of them`
        this.#problems.add([...path, index], message)
      }
    }
    return prefixes
  }

  #readNamespaceName(setting: unknown, path: TomlPath): string | undefined {
    if (setting === undefined) return undefined
    if (typeof setting !== 'string') {
      return this.#problems.add(path, 'namespace must be the name of one')
    }
    const isKnown =
      setting === NAMESPACE_DEFAULT_NAME || this.namespaces.some(({ name }) => name === setting)
    if (isKnown) return setting
    const remedy = NAME.test(setting) ? `; state its memory under [namespaces.${setting}]` : ''
    return this.#problems.add(path, `there is no namespace ${quoteName(setting)}${remedy}`)
  }

  #readRoleNames(setting: unknown, path: TomlPath): readonly string[] | undefined {
    const names = this.#readTexts(setting, path, 'roles', ROLES_PER_USER_MAX)
    for (const [index, name] of names?.entries() ?? []) {
      if (this.#roles.has(name)) continue
      const builtIn = BUILT_IN_ROLES.map((role) => role.name).join(', ')
      const message = `there is no role ${quoteName(name)}; state it under [roles], or take one of ${builtIn}`
      this.#problems.add([...path, index], message)
    }
    return names
  }

  /** A list of different texts; undefined, with a problem or without a setting. */
  #readTexts(
    setting: unknown,
    path: TomlPath,
    what: string,
    countMax: number,
  ): readonly string[] | undefined {
    if (setting === undefined) return undefined
    if (!Array.isArray(setting) || !setting.every((text) => typeof text === 'string')) {
      return this.#problems.add(path, `${what} must be an array of strings`)
    }
    const texts: string[] = setting
    if (texts.length === 0) {
      return this.#problems.add(path, `${what} is empty; remove it, or say what is meant`)
    }
    if (texts.length > countMax) {
      return this.#problems.add(
        path,
        `${what} has ${texts.length} entries; at most ${countMax} are allowed`,
      )
    }
    const twin = texts.findIndex((text, index) => texts.indexOf(text) < index)
    if (twin !== -1)
      this.#problems.add([...path, twin], `${quoteName(texts[twin] ?? '')} stands there twice`)
    return texts
  }
}

function problemWithPrefix(prefix: string): string | undefined {
  if (prefix === '') return 'every key begins with an empty prefix; remove key_prefixes'
  if (NO_PREFIX.test(prefix)) return 'a prefix has no blank and no control character'
  const bytes = Buffer.byteLength(prefix)
  if (bytes <= KEY_BYTES_MAX) return undefined
  return `this prefix has ${bytes} bytes; a key has at most ${KEY_BYTES_MAX}`
}

function parseMemory(setting: unknown): number | undefined {
  const [, digits = '', unit = ''] = MEMORY.exec(String(setting)) ?? []
  const isRight = typeof setting === 'string' || typeof setting === 'number'
  if (!isRight || digits === '') return undefined
  const bytes = Number(digits) * (UNITS[unit.toLowerCase()] ?? 1)
  return Number.isSafeInteger(bytes) && bytes >= NAMESPACE_BYTES_MIN ? bytes : undefined
}
