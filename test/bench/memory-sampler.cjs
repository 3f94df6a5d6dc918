/**
 * Loaded into a server by NODE_OPTIONS: each of its threads appends what its memory is made of to the file that
 * MEMORY_SAMPLES names, a line of JSON every ten seconds.
 */
const { appendFileSync } = require('node:fs')
const { getHeapSpaceStatistics } = require('node:v8')
const { threadId } = require('node:worker_threads')

const file = process.env.MEMORY_SAMPLES
const EVERY_MS = 10_000

if (file !== undefined) {
  const sample = () => {
    const { rss, heapTotal, heapUsed, external, arrayBuffers } = process.memoryUsage()
    const spaces = Object.fromEntries(
      getHeapSpaceStatistics()
        .filter((space) => space.physical_space_size > 0)
        .map((space) => [space.space_name, space.physical_space_size]),
    )
    const line = { threadId, rss, heapTotal, heapUsed, external, arrayBuffers, spaces }
    appendFileSync(file, `${JSON.stringify(line)}\n`)
  }
  setInterval(sample, EVERY_MS).unref()
}
