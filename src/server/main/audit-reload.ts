/** What the audit says of a reload of the users: the names of what is new, gone or another. */
import type { CredentialSnapshot } from '../../credential/credential-snapshot.ts'
import type { AuditEvent } from '../../observe/audit-line.ts'

interface Named {
  readonly name: string
}

/** Names alone: what a record says beside its name is compared, and not told. */
export function reloadEvent(before: CredentialSnapshot, after: CredentialSnapshot): AuditEvent {
  const users = differences(before.users, after.users)
  const roles = differences(before.roles, after.roles)
  const namespaces = differences(before.namespaces, after.namespaces)
  return {
    event: 'reload',
    what: 'users',
    outcome: 'success',
    users: after.users.length,
    added: users.added,
    removed: users.removed,
    changed: users.changed,
    roles: allOf(roles),
    namespaces: allOf(namespaces),
  }
}

interface Differences {
  readonly added: readonly string[] | undefined
  readonly removed: readonly string[] | undefined
  readonly changed: readonly string[] | undefined
}

function differences(before: readonly Named[], after: readonly Named[]): Differences {
  const texts = new Map(before.map((record) => [record.name, textOf(record)]))
  const added: string[] = []
  const changed: string[] = []
  for (const record of after) {
    const text = texts.get(record.name)
    if (text === undefined) added.push(record.name)
    else if (text !== textOf(record)) changed.push(record.name)
    texts.delete(record.name)
  }
  return {
    added: unlessEmpty(added),
    removed: unlessEmpty([...texts.keys()]),
    changed: unlessEmpty(changed),
  }
}

function textOf(record: Named): string {
  return JSON.stringify(record, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  )
}

function allOf({
  added = [],
  removed = [],
  changed = [],
}: Differences): readonly string[] | undefined {
  return unlessEmpty([...added, ...removed, ...changed])
}

function unlessEmpty(names: readonly string[]): readonly string[] | undefined {
  return names.length === 0 ? undefined : names
}
