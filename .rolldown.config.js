/**
 * Bundles what is run and shipped into dist/bin/: the command line, in parts that are loaded when they
 * are needed, and each kind of thread in one file. In one file the engine knows constants and functions
 * of other modules as it knows a module's own; a request costs a tenth less CPU than with a file for
 * each module (test/bench/README.md). Nothing is renamed or minified, so a stack names functions as
 * the sources do; with NODE_OPTIONS=--enable-source-maps it also names their lines.
 *
 * Packages stay outside: pino starts a thread of its own by its path.
 *
 * The page that the server shows over HTTP goes beside it as it is: src/server/http/page-routes.ts reads
 * its files from the folder `page` next to the module that it is in.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { defineConfig } from 'rolldown'

const COMMON = {
  platform: 'node',
  external: (id) => !id.startsWith('.') && !isAbsolute(id),
}
const OUTPUT = {
  dir: 'dist',
  format: 'esm',
  sourcemap: true,
  entryFileNames: 'bin/[name].js',
  chunkFileNames: 'bin/[name].js',
}

const PAGE = 'src/server/http/page'

const withPage = {
  name: 'page',
  generateBundle() {
    for (const file of readdirSync(PAGE)) {
      const source = readFileSync(`${PAGE}/${file}`)
      this.emitFile({ type: 'asset', fileName: `bin/page/${file}`, source })
    }
  },
}

export default defineConfig([
  {
    ...COMMON,
    plugins: [withPage],
    input: { saslcached: 'bin/saslcached.ts' },
    output: { ...OUTPUT, cleanDir: true },
  },
  {
    ...COMMON,
    input: { worker: 'src/server/worker/worker.ts' },
    output: { ...OUTPUT, codeSplitting: false },
  },
  {
    ...COMMON,
    input: { 'snapshot-thread': 'src/server/snapshot/snapshot-thread.ts' },
    output: { ...OUTPUT, codeSplitting: false },
  },
])
