/**
 * The sources as the house rules read them: files, imports and functions, found by their text. The
 * formatter lays out all code alike, so that indentation tells where a function ends.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'

const SRC: string = join(import.meta.dirname, '..', '..', 'src')

export interface SourceFile {
  /** From `src/`, with slashes. */
  readonly path: string
  readonly text: string
}

export function sourceFiles(): SourceFile[] {
  return readdirSync(SRC, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => {
      const file = join(entry.parentPath, entry.name)
      return {
        path: relative(SRC, file).split(sep).join('/'),
        text: readFileSync(file, 'utf8'),
      }
    })
}

export interface Import {
  /** 1-based, of the specifier. */
  readonly line: number
  readonly specifier: string
  /** What a relative one comes to, from `src/`; undefined for a package or a module of Node. */
  readonly target: string | undefined
}

/** Every import and export from elsewhere: of values and of types, also written over several lines. */
export function importsOf({ path, text }: SourceFile): Import[] {
  const imports: Import[] = []
  for (const match of withoutComments(text).matchAll(
    /\b(?:from|import)\s*(?:\(\s*)?'([^'\n]+)'/g,
  )) {
    const specifier = match[1] ?? ''
    const before = text.slice(0, match.index + match[0].length)
    imports.push({
      line: before.split('\n').length,
      specifier,
      target: specifier.startsWith('.') ? resolveFrom(path, specifier) : undefined,
    })
  }
  return imports
}

function resolveFrom(path: string, specifier: string): string {
  return relative(SRC, join(SRC, path, '..', specifier))
    .split(sep)
    .join('/')
}

/** Blanks for comments that have lines to themselves, so that every offset stays. */
function withoutComments(text: string): string {
  return text.replaceAll(/^[ \t]*(?:\/\/.*|\/?\*.*)$/gm, (comment) => ' '.repeat(comment.length))
}

export interface FunctionLength {
  /** `command/local/local-commands.ts execute`. */
  readonly name: string
  /** 1-based. */
  readonly line: number
  readonly lineCount: number
}

const HEAD =
  /^( *)(?:(?:export|default|async|static|private|protected|override|get|set|const) )*(?:function\*? )?(#?[\w$]+)(?:<.*>)?(?:\(| = (?:async )?(?:\(|\w+ =>))/
const NO_FUNCTION = new Set(['if', 'for', 'while', 'switch', 'catch', 'return', 'super', 'await'])

/** Functions, methods and callbacks with a body of several lines, each with all its lines. */
export function functionsOf({ path, text }: SourceFile): FunctionLength[] {
  const lines = text.split('\n')
  const found: FunctionLength[] = []
  for (const [index, line] of lines.entries()) {
    const [, indentation, name] = HEAD.exec(line) ?? []
    if (indentation === undefined || name === undefined || NO_FUNCTION.has(name)) continue
    const bodyIndex = line.endsWith('{') ? index : closingIndex(lines, index, indentation, ')')
    if (bodyIndex < 0 || !lines[bodyIndex]?.endsWith('{')) continue
    const endIndex = closingIndex(lines, bodyIndex, indentation, '}')
    if (endIndex < 0) continue
    found.push({ name: `${path} ${name}`, line: index + 1, lineCount: endIndex - index + 1 })
  }
  return found
}

/** The next line of the same indentation, if it begins with `bracket`; else -1. */
function closingIndex(
  lines: readonly string[],
  index: number,
  indentation: string,
  bracket: string,
): number {
  for (let at = index + 1; at < lines.length; at++) {
    const line = lines[at] ?? ''
    if (line === '' || line.startsWith(`${indentation} `)) continue
    return line.startsWith(`${indentation}${bracket}`) ? at : -1
  }
  return -1
}
