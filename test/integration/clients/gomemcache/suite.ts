/**
 * gomemcache, Go's client, as Debian ships it: built from its sources, without a network. It has no
 * login of its own; the program's first command on its connection is one.
 */
import { join } from 'node:path'
import { describeRun } from '../../../support/client-program.ts'
import type { ClientSuite } from '../../../support/client-suite.ts'
import { runProgram } from '../../../support/program.ts'
import { runFolder } from '../../../support/run-folder.ts'

// The compiler alone: golang-go, which puts it on the path, brings a C compiler and more.
const GO = '/usr/lib/go-1.19/bin/go'
const SOURCES = '/usr/share/gocode'
const COMPILER_DEADLINE_MS = 120_000

async function compile(): Promise<readonly string[]> {
  const folder = runFolder('gomemcache')
  const program = join(folder, 'client')
  const compiled = await runProgram(
    [GO, 'build', '-o', program, join(import.meta.dirname, 'client.go')],
    {
      environment: {
        GOPATH: SOURCES,
        GO111MODULE: 'off',
        GOCACHE: join(folder, 'cache'),
        GOENV: 'off',
        GOFLAGS: '',
      },
      deadlineMs: COMPILER_DEADLINE_MS,
    },
  )
  if (compiled.exitCode !== 0) throw new Error(describeRun(compiled))
  return [program]
}

export const SUITES: readonly ClientSuite[] = [
  {
    client: 'gomemcache',
    needs: [
      {
        packages: 'golang-1.19-go golang-github-bradfitz-gomemcache-dev',
        probe: [
          'sh',
          '-c',
          `test -x ${GO} && test -d ${SOURCES}/src/github.com/bradfitz/gomemcache/memcache`,
        ],
      },
    ],
    prepare: compile,
    tls: 'stunnel',
    mechanism: 'PLAIN',
    refusal: /CLIENT_ERROR authentication failure/,
    text: { unauthenticated: /CLIENT_ERROR unauthenticated/ },
    operations: [
      'Get',
      'GetMulti',
      'Set',
      'Set with expiry',
      'Add',
      'Replace',
      'CompareAndSwap',
      'Delete',
      'Increment and Decrement',
      'Touch',
      'flags',
      'binary values',
      'large values',
      'long and odd keys',
      'DeleteAll',
      'FlushAll',
      'Increment of a word',
      'a value too large',
    ],
  },
]
