/** A number and what it counts, as a sentence has them: `1 round trip`, `4 round trips`. */
export function counted(count: number, one: string, many: string = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}
