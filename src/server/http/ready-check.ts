/**
 * Asks a running server over HTTP whether it is ready, for `saslcached health`. Only a server that says that
 * it is not is taken for one that is not: whoever fills the places of the listener must not have
 * a server restarted that serves.
 */
import type http from 'node:http'
import type https from 'node:https'
import type { HttpConfig } from '../../config/config.ts'
import { loadHttp, loadHttps } from '../net/http-modules.ts'

const STATUS_UNAVAILABLE = 503
const REASON_CHARS_MAX = 1024

/** Its reasons, a line each; undefined if it is ready, or does not answer. */
export async function askWhyNotReady(
  { listen, sockets }: HttpConfig,
  timeoutMs: number,
): Promise<string | undefined> {
  const [socketPath] = sockets
  const address = listen.find(({ port }) => port > 0)
  if (socketPath !== undefined) return await ask(loadHttp(), { socketPath }, timeoutMs)
  if (address === undefined) return undefined
  const { host, port, tls } = address
  const target = { host: host === '*' ? '127.0.0.1' : host, port }
  // What is asked is whether it is ready, not who: its certificate may be for another name.
  if (tls !== undefined)
    return await ask(loadHttps(), { ...target, rejectUnauthorized: false }, timeoutMs)
  return await ask(loadHttp(), target, timeoutMs)
}

function ask(
  protocol: Pick<typeof https, 'get'> | Pick<typeof http, 'get'>,
  target: https.RequestOptions,
  timeoutMs: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = protocol.get({ ...target, path: '/ready', agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text = (text + chunk).slice(0, REASON_CHARS_MAX)
      })
      response.on('close', () => {
        clearTimeout(timer)
        resolve(response.statusCode === STATUS_UNAVAILABLE ? text.trim() : undefined)
      })
    })
    const timer = setTimeout(() => request.destroy(), timeoutMs)
    request.on('error', () => {
      clearTimeout(timer)
      resolve(undefined)
    })
  })
}
