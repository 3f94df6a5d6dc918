/** Members keep their slots, and are found by them, whoever else comes and goes. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { NO_SLOT, Slots } from '../../../src/base/slots.ts'

class Member {
  slot: number = NO_SLOT
}

test('whoever comes and goes, the set is what a Set would be, and nobody moves', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(60), { maxLength: 200 }), (steps) => {
      const slots = new Slots<Member>()
      const model = new Map<Member, number>()
      let most = 0
      for (const step of steps) {
        const present = [...model.keys()]
        const leaving = step % 2 === 0 ? present[step % Math.max(1, present.length)] : undefined
        if (leaving === undefined) {
          const member = new Member()
          slots.add(member)
          model.set(member, member.slot)
        } else {
          expect(slots.remove(leaving)).toBe(true)
          expect(slots.remove(leaving)).toBe(false)
          model.delete(leaving)
        }
        most = Math.max(most, model.size)
        expect(slots.size).toBe(model.size)
        expect(new Set(slots)).toEqual(new Set(model.keys()))
        for (const [member, slot] of model) {
          expect(member.slot).toBe(slot)
          expect(slots.at(slot)).toBe(member)
        }
      }
      // No more slots than there were members at a time.
      expect(slots.slotCount).toBe(most)
    }),
    { numRuns: 30 },
  )
})

test('nobody is in two sets', () => {
  const member = new Member()
  new Slots<Member>().add(member)
  expect(() => new Slots<Member>().add(member)).toThrow(/in no set/)
})
