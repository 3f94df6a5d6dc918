/** The files of the page: all there, with headers that keep anything else out. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pageRoutes } from '../../../../src/server/http/page-routes.ts'
import type { RouteAnswer } from '../../../../src/server/http/route.ts'
import type { Status } from '../../../../src/server/http/status.ts'

const PAGE = join(import.meta.dirname, '../../../../src/server/http/page')
const routes = pageRoutes({ text: () => '{}' } as Status)

async function answers(): Promise<readonly (readonly [string, RouteAnswer])[]> {
  return await Promise.all(routes.map(async (it) => [it.path, await it.answer('')] as const))
}

test('every file of the page has a path, and takes the right to read statistics', async () => {
  const files = readdirSync(PAGE).map((file) => (file === 'page.html' ? '/' : `/${file}`))
  expect(routes.map(({ path }) => path).sort()).toEqual([...files, '/status.json'].sort())
  expect(routes.map(({ right }) => right)).toEqual(routes.map(() => 'stats'))
  for (const [, { status }] of await answers()) expect(status).toBe(200)
})

test('nothing but files of this server is loaded or run, and nobody frames the page', async () => {
  for (const [, { headers = {} }] of await answers()) {
    const policy = headers['content-security-policy'] ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toMatch(/unsafe|http|\*|data:/)
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(headers['cache-control']).toBe('no-store')
  }
})

test('the sources of the page need no inline script or style, and make no markup of texts', () => {
  const html = readFileSync(join(PAGE, 'page.html'), 'utf8')
  expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?:/)
  for (const file of readdirSync(PAGE).filter((it) => it.endsWith('.js'))) {
    const text = readFileSync(join(PAGE, file), 'utf8')
    const sinks = /innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|setHTML/
    expect(text, file).not.toMatch(sinks)
    expect(text, file).not.toMatch(/localStorage|sessionStorage|cookie|indexedDB|method:/)
  }
})
