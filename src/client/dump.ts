/** Lines of `lru_crawler metadump` and of `watch`: `key=... exp=...`, as records. */

/** Fields in their order; a word without `=` has an empty value. */
export function parseFields(line: string): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  for (const word of line.split(' ')) {
    if (word === '') continue
    const at = word.indexOf('=')
    fields.set(at === -1 ? word : word.slice(0, at), at === -1 ? '' : word.slice(at + 1))
  }
  return fields
}

/** Of which a JSON number would not keep every one, or that are text which may look like one. */
const TEXTS: readonly string[] = ['key', 'cas']

/** As JSON: numbers where they are numbers, `yes` and `no` as they are. */
export function fieldsJson(fields: ReadonlyMap<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    [...fields].map(([name, value]) => [name, TEXTS.includes(name) ? value : jsonValue(value)]),
  )
}

function jsonValue(value: string): unknown {
  if (!/^-?(0|[1-9]\d{0,15})$/.test(value)) return value
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
