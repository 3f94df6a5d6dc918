// What of Node was loaded, as a list of JSON in the file that LOADED_MODULES names, when the process ends.
const { writeFileSync } = require('node:fs')
const { isMainThread } = require('node:worker_threads')

if (isMainThread)
  process.on('exit', () =>
    writeFileSync(process.env.LOADED_MODULES, JSON.stringify(process.moduleLoadList)),
  )
