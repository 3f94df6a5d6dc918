/** A web server on loopback that says what a test tells it to, and counts who asks. */
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { onTestFinished } from 'vitest'

export interface JwksServer {
  readonly url: string
  readonly server: Server
  requestCount: number
  answer: RequestListener
}

export async function startJwksServer(answer: RequestListener): Promise<JwksServer> {
  const server = createServer((request, response) => {
    started.requestCount++
    started.answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const started: JwksServer = {
    url: `http://127.0.0.1:${port}/jwks`,
    server,
    requestCount: 0,
    answer,
  }
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return started
}
