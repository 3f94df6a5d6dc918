/** See free-port.js. */
export function freePort(count?: number): Promise<number>
