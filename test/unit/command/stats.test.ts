/** Groups of statistics that grow with what there is are made a step at a time. */
import { expect, test } from 'vitest'
import { type NamespaceFacts, NamespaceRows } from '../../../src/command/operations/stats.ts'

test('what one namespace has counted is added up a step', () => {
  const read: string[] = []
  const namespaces = ['default', 'blog', 'shop'].map((name) => ({
    name,
    heldBytes: 3,
    stats: {
      read: () => {
        read.push(name)
        return { memory_bytes: 5, items: 7 }
      },
    },
  })) as unknown as readonly NamespaceFacts[]
  const rows = new NamespaceRows(namespaces)
  expect(read).toEqual([])
  const first = rows.next()
  expect(read).toEqual(['default'])
  expect(first).toContainEqual(['default:lent_bytes', '2'])
  expect(first).toContainEqual(['default:curr_items', '7'])
  expect([rows.next(), rows.next(), rows.next()].map((step) => step?.length)).toEqual([
    10,
    10,
    undefined,
  ])
  expect(read).toEqual(['default', 'blog', 'shop'])
})
