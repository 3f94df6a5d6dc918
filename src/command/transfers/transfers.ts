/** What moves large values in and out of the store for the connections of a worker: one object of all dialects. */
import type { Commands } from '../commands.ts'
import { LargeCopies, type LargeCopiesOptions } from './large-copies.ts'
import { LargeExtensions } from './large-extensions.ts'

export class Transfers {
  readonly copies: LargeCopies
  readonly extensions: LargeExtensions

  constructor(commands: Commands, options: LargeCopiesOptions) {
    this.copies = new LargeCopies(commands, options)
    this.extensions = new LargeExtensions(commands, options.valueBytesMax)
  }
}
