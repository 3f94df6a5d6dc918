/**
 * `node:http` and `node:https`, loaded by who asks for them first: most servers speak no HTTP.
 *
 * They are required, not imported. An import reads every export of a module, also the getter `WebSocket`
 * of `node:http`, for which Node 22 and later load their whole client of HTTP: 10 MiB of memory and
 * 50 ms; Node 22 also reserves 10 GB of addresses for its WebAssembly, and where those cannot be had the process ends
 * (findings/node-http-import-loads-undici.sh). A test of the house holds that nobody imports them.
 */
import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

export function loadHttp(): typeof import('node:http') {
  return require('node:http')
}

export function loadHttps(): typeof import('node:https') {
  return require('node:https')
}
