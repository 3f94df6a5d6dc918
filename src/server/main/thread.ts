/** A thread beside the main one, as far as the main one uses it: tests have some that are none. */
export interface Thread<Told, Said> {
  on(event: 'message', listener: (message: Said) => void): unknown
  on(event: 'error', listener: (error: unknown) => void): unknown
  on(event: 'exit', listener: (code: number) => void): unknown
  postMessage(message: Told): void
  terminate(): Promise<unknown>
}
