/** The file whose bytes become a value. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { describeReadError } from '../config/read-file.ts'
import { ClientError } from './client-error.ts'
import { VALUE_BYTES_MAX } from './wire.ts'

/** Throws ClientError. */
export function readValueFile(path: string): Buffer {
  try {
    // To open a pipe or a device without that would wait for whoever is at its other end.
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
    try {
      const stats = fstatSync(fd)
      if (!stats.isFile()) throw new ClientError('settings', `${path} is not a regular file`)
      if (stats.size > VALUE_BYTES_MAX) {
        const message = `${path} has ${stats.size} bytes; a value has at most ${VALUE_BYTES_MAX}`
        throw new ClientError('settings', message)
      }
      return readFileSync(fd)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (error instanceof ClientError) throw error
    throw new ClientError('settings', `${path} ${describeReadError(error)}`, { cause: error })
  }
}
