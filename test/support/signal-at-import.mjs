/**
 * Loaded into a server under test with `node --import`: sends the process SIGNAL_AT_IMPORT the moment a
 * module is asked for whose name ends with IMPORT_OF, before it is loaded. So a signal comes at an exact
 * point of the start, on any machine.
 */
import { register } from 'node:module'
import process from 'node:process'
import { isMainThread } from 'node:worker_threads'

const { SIGNAL_AT_IMPORT: signal, IMPORT_OF: name } = process.env

export function resolve(specifier, context, next) {
  if (specifier.endsWith(name) && process.env.SENT === undefined) {
    process.env.SENT = '1'
    process.kill(process.pid, signal)
  }
  return next(specifier, context)
}

if (isMainThread && !import.meta.url.includes('?hooks')) register(`${import.meta.url}?hooks`)
