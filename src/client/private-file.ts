/** Files that hold a password, or say where one goes (config/exposure.ts): one that others have is not used. */
import { exposureOf } from '../config/exposure.ts'
import { readSmallFile } from '../config/read-file.ts'
import { ClientError } from './client-error.ts'

const PIPE_MS_MAX = 5000

/** The text of a file; undefined if it is missing. Throws ClientError. */
export function readPrivateFile(path: string, bytesMax: number): string | undefined {
  const reading = readSmallFile(path, bytesMax, PIPE_MS_MAX, (stats) => {
    const exposure = exposureOf(path, stats)
    return exposure && `${exposure.what}, so it is not used: ${exposure.remedy}`
  })
  if (reading.kind === 'text') return reading.text
  if (reading.kind === 'missing') return undefined
  throw new ClientError('settings', `${path} ${reading.why}`)
}
