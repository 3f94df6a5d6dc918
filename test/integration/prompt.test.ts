/**
 * The password prompt on a real pseudo terminal: what a person types is seen by the program and not
 * by whoever looks at the screen.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { hasPrerequisites } from '../support/program.ts'
import { runInTerminal, TERMINAL, type TerminalResult } from '../support/terminal.ts'

async function type(
  steps: readonly (readonly [shows: string, types: string])[],
  argv: readonly string[],
): Promise<TerminalResult> {
  const asked = steps.map(([shows, types]) => ({ shows, types }))
  const seen = await runInTerminal(asked, argv)
  return { ...seen, screen: seen.screen.replaceAll('\r\n', '\n') }
}

function usersFile(): string {
  const directory = mkdtempSync(join(tmpdir(), 'saslcached-prompt-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return join(directory, 'users.toml')
}

if (hasPrerequisites('the password prompt', [TERMINAL])) {
  test('a password typed at a terminal is not shown, and the user is made', async () => {
    const file = usersFile()
    const seen = await type(
      [
        ['Password for "alice": ', 'hunter2\r'],
        ['The same again: ', 'hunter2\r'],
      ],
      ['user', 'add', 'alice', '--file', file],
    )
    expect(seen).toEqual({
      screen: `Password for "alice": \nThe same again: \nuser "alice" was added to ${file}\n`,
      exitCode: 0,
      echoes: true,
    })
    expect(readFileSync(file, 'utf8')).toContain('[users.alice]')
  })

  test('what is typed ahead of the second question is not shown either', async () => {
    const seen = await type([['Password: ', 'hunter2\rhunter2\r']], ['hash-password'])
    expect(seen).toMatchObject({ exitCode: 0, echoes: true })
    expect(seen.screen).not.toContain('hunter2')
    expect(seen.screen).toContain('SCRAM-SHA-256$')
  })

  test('Control-C at the prompt leaves with 130 and a terminal that echoes again', async () => {
    const file = usersFile()
    const seen = await type(
      [['Password for "a": ', 'hun\u0003']],
      ['user', 'add', 'a', '--file', file],
    )
    expect(seen).toEqual({
      screen: 'Password for "a": \nsaslcached: nothing was done\n',
      exitCode: 130,
      echoes: true,
    })
  })
}
