/**
 * Bundles what is run and shipped into dist/bin/: the command line, in parts that are loaded when they
 * are needed, and each kind of thread in one file. In one file the engine knows constants and functions
 * of other modules as it knows a module's own; a request costs a tenth less CPU than with a file for
 * each module (test/bench/README.md). Nothing is renamed or minified, so a stack names functions as
 * the sources do; with NODE_OPTIONS=--enable-source-maps it also names their lines. Comments are left out, because
 * they would stay in memory.
 *
 * Packages stay outside: pino starts a thread of its own by its path.
 *
 * The page that the server shows over HTTP goes beside it as it is: src/server/http/page-routes.ts reads
 * its files from the folder `page` next to the module that it is in.
 */
import { chmodSync, readdirSync, readFileSync } from 'node:fs'
import { isAbsolute } from 'node:path'
import { defineConfig } from 'rolldown'

/**
 * A thread keeps its source in its heap, at two bytes a character if only one of them is not Latin-1: 1.2 MB
 * instead of 0.6 in each worker. Escapes in literals do not help, they are printed as what they stand for.
 */
const oneByte = {
  name: 'one-byte',
  generateBundle(_options, bundle) {
    for (const { fileName, code = '' } of Object.values(bundle)) {
      const found = /[^\0-\xff]/u.exec(code)
      if (found === null) continue
      const number = found[0].codePointAt(0).toString(16)
      this.error(
        `${fileName} has a character beyond Latin-1: write String.fromCodePoint(0x${number})`,
      )
    }
  },
}

const COMMON = {
  platform: 'node',
  external: (id) => !id.startsWith('.') && !isAbsolute(id),
  plugins: [oneByte],
}
const OUTPUT = {
  dir: 'dist',
  format: 'esm',
  sourcemap: true,
  entryFileNames: 'bin/[name].js',
  chunkFileNames: 'bin/[name].js',
  comments: false,
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

/**
 * npm makes the program of `bin` executable when it links the command, and never again: without this, a
 * command that was installed from a checkout is refused ("Permission denied") after the next build.
 */
const executable = {
  name: 'executable',
  writeBundle() {
    chmodSync('dist/bin/saslcached.js', 0o755)
  },
}

export default defineConfig([
  {
    ...COMMON,
    plugins: [oneByte, withPage, executable],
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
  {
    ...COMMON,
    input: { 'second-thread': 'src/server/snapshot/second-thread.ts' },
    output: { ...OUTPUT, codeSplitting: false },
  },
])
