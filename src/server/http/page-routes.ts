/**
 * The page at / and what it is made of: files that are read once, at the start, and the document that it
 * reads while it is open.
 *
 * Invariant: the page loads nothing from elsewhere and runs nothing but its own files, whatever gets into
 * it: no inline script or style, no frame around it, no form. Names that clients chose come in JSON.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Route } from './route.ts'
import type { Status } from './status.ts'

const PAGE_FOLDER: string = join(import.meta.dirname, 'page')

const CONTENT_SECURITY_POLICY: string = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': CONTENT_SECURITY_POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
}

const HTML = 'text/html; charset=utf-8'
const SCRIPT = 'text/javascript; charset=utf-8'
const STYLE = 'text/css; charset=utf-8'
const JSON_TYPE = 'application/json; charset=utf-8'

/** By path: the file, and its type. */
const FILES: Readonly<Record<string, readonly [file: string, contentType: string]>> = {
  '/': ['page.html', HTML],
  '/page.css': ['page.css', STYLE],
  '/page.js': ['page.js', SCRIPT],
  '/charts.js': ['charts.js', SCRIPT],
  '/format.js': ['format.js', SCRIPT],
  '/latency.js': ['latency.js', SCRIPT],
  '/notices.js': ['notices.js', SCRIPT],
  '/tables.js': ['tables.js', SCRIPT],
  '/icon.svg': ['icon.svg', 'image/svg+xml'],
}

/** Files do not change while the server runs, whatever is installed meanwhile. */
const FILE_FRESH_MS = 3_600_000
/** However many look at the page, a document is made once a second. */
const STATUS_FRESH_MS = 1000

/** Throws where a file of the installation is missing. */
export function pageRoutes(status: Status): readonly Route[] {
  const files = Object.entries(FILES).map(([path, [file, contentType]]): Route => {
    const body = readFileSync(join(PAGE_FOLDER, file))
    return {
      path,
      right: 'stats',
      tellsOfAll: true,
      freshMs: FILE_FRESH_MS,
      answer: () => ({ status: 200, contentType, body, headers: HEADERS }),
    }
  })
  return [
    ...files,
    {
      path: '/status.json',
      right: 'stats',
      tellsOfAll: true,
      freshMs: STATUS_FRESH_MS,
      answer: () => ({
        status: 200,
        contentType: JSON_TYPE,
        body: status.text(),
        headers: HEADERS,
      }),
    },
  ]
}
