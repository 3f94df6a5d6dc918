/**
 * spymemcached, Java's client, as Debian ships it: told to use PLAIN, and left to choose from what
 * the server lists.
 */
import { join } from 'node:path'
import { describeRun } from '../../../support/client-program.ts'
import type { ClientSuite } from '../../../support/client-suite.ts'
import { runProgram } from '../../../support/program.ts'
import { runFolder } from '../../../support/run-folder.ts'

const JAR = '/usr/share/java/spymemcached.jar'

let classes: string | undefined

async function compile(): Promise<string> {
  if (classes !== undefined) return classes
  const folder = runFolder('spymemcached')
  const compiled = await runProgram([
    'javac',
    ...['-encoding', 'UTF-8', '-cp', JAR, '-d', folder],
    join(import.meta.dirname, 'Client.java'),
  ])
  if (compiled.exitCode !== 0) throw new Error(describeRun(compiled))
  classes = folder
  return folder
}

function suite(client: string, mechanisms: string): ClientSuite {
  return {
    client,
    needs: [
      {
        packages: 'default-jdk-headless libspymemcached-java',
        probe: ['sh', '-c', `command -v javac && command -v java && test -e ${JAR}`],
      },
    ],
    prepare: async () => [
      'java',
      // Starts sooner, and a test's heap is small.
      ...['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto', '-Xmx256m'],
      ...['-cp', `${JAR}:${await compile()}`, 'Client', mechanisms],
    ],
    mechanism: 'PLAIN',
    // It goes on trying and lets the operation run into its timeout.
    refusal: /OperationTimeoutException|CancellationException|Cancelled/,
    operations: [
      'get',
      'get of every type',
      'getBulk',
      'set',
      'many sets at once',
      'set with expiry',
      'add',
      'replace',
      'append',
      'prepend',
      'append and prepend with CAS',
      'gets and cas',
      'delete',
      'incr',
      'decr',
      'touch',
      'getAndTouch',
      'stats',
      'version',
      'list of mechanisms',
      'large values',
      'a value too large',
      'long and non-ASCII keys',
      'a new connection',
      'flush',
    ],
  }
}

export const SUITES: readonly ClientSuite[] = [
  suite('spymemcached with PLAIN', 'PLAIN'),
  { ...suite('spymemcached with the list of the server', ''), tls: 'stunnel' },
]
