/**
 * Loads node-redis without what nobody here asks it for: its table has some 400 commands, a file for each, of which it
 * makes four classes with a function for each, and a second table says how to spread each over the nodes. They are
 * most of what it takes, in each thread (test/bench/README.md). All that we ask of the library is to follow the
 * topology and to send words to where their key is; what it asks itself for is in COMMANDS.
 *
 * The tables are put in the place of its own before it is loaded. A release that was not looked at is loaded whole;
 * test/unit/remote/cluster-library.test.ts looks at the one that is installed.
 *
 * It is required, not imported, so that no bundler and no start looks into it.
 */
import { createRequire, Module } from 'node:module'

const require = createRequire(import.meta.url)

const LIBRARY = '@redis/client'
/** The one that was looked at. */
const LEAN_VERSION = '6.3.1'

/** What the library asks itself for, whatever is asked of it: file, and the name of the method. */
export const COMMANDS: Readonly<Record<string, string>> = {
  AUTH: 'auth',
  CLIENT_SETNAME: 'clientSetName',
  CLUSTER_SLOTS: 'clusterSlots',
  READONLY: 'readonly',
}

export function loadLibrary(): unknown {
  try {
    prepare()
  } catch {
    // Its files are not where they were: whole, it takes more memory and does the same.
  }
  return require(LIBRARY)
}

function prepare(): void {
  const { version } = require(`${LIBRARY}/package.json`) as { readonly version: string }
  if (version !== LEAN_VERSION) return
  const commands = commandTable()
  const modules = [
    moduleOf('commands/index.js', { default: commands, NON_STICKY_COMMANDS: commands }),
    // What is not in it goes to the node of its key.
    moduleOf('command-metadata/command-metadata-data.js', { COMMAND_METADATA: {} }),
  ]
  // All or none: from here nothing fails.
  for (const module of modules) require.cache[module.filename] ??= module
}

function commandTable(): Record<string, unknown> {
  const table: Record<string, unknown> = {}
  for (const [name, method] of Object.entries(COMMANDS)) {
    const { default: command } = require(`${LIBRARY}/dist/lib/commands/${name}.js`) as {
      readonly default: unknown
    }
    table[name] = command
    table[method] = command
  }
  return table
}

/** What gives whoever requires that file of the library `exports`, once it is in the cache. */
function moduleOf(file: string, exports: Readonly<Record<string, unknown>>): Module {
  const path = require.resolve(`${LIBRARY}/dist/lib/${file}`)
  const module = new Module(path)
  module.filename = path
  module.exports = { __esModule: true, ...exports }
  module.loaded = true
  return module
}
