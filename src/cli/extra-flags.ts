/**
 * MEMCACHED_EXTRA_FLAGS: flags in the environment, as images of memcached have them. They are options of
 * the server and nothing else; those of the command line win over them, and they over other variables.
 *
 * Invariant: no word that was not understood is repeated in a message; it may be a password.
 */
import { Command, CommanderError } from 'commander'
import { type Environment, EXTRA_FLAGS_VARIABLE } from '../config/environment.ts'
import { Refusal } from '../config/kind.ts'
import { splitWords } from '../config/split-words.ts'
import { addOptions, type CommandLine, leftoverProblems } from './flags.ts'

/** Undefined where the variable is not set. */
export function readExtraFlags(environment: Environment): CommandLine | undefined {
  const text = environment[EXTRA_FLAGS_VARIABLE] ?? ''
  if (text.trim() === '') return undefined
  const words = splitWords(text)
  if (words instanceof Refusal) {
    const problem = { where: EXTRA_FLAGS_VARIABLE, message: words.reason }
    return { flags: { uses: [], problems: [problem], notices: [] }, configFile: undefined }
  }
  const command = new Command().allowUnknownOption().allowExcessArguments().exitOverride()
  command.helpOption(false).configureOutput({ outputError: () => undefined })
  const line = addOptions(command, words)
  const { problems, ...flags } = line.flags
  try {
    command.parse(words, { from: 'user' })
    problems.push(...leftoverProblems(command.options, command.args, []))
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    problems.push({ where: '', message: error.message.replace(/^error: /, '') })
  }
  return {
    configFile: line.configFile,
    flags: {
      uses: flags.uses.map((use) => ({ ...use, flag: inVariable(use.flag) })),
      problems: problems.map(({ where, message }) => ({
        where: where.startsWith('-') ? inVariable(where) : EXTRA_FLAGS_VARIABLE,
        message,
      })),
      notices: flags.notices.map((notice) => `${EXTRA_FLAGS_VARIABLE}: ${notice}`),
    },
  }
}

function inVariable(flag: string): string {
  return `${EXTRA_FLAGS_VARIABLE} ${flag}`
}
