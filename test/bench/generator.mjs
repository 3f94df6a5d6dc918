/**
 * Compiles the C programs, load.c and attack.c, and runs the first. What it prints is believed only when it exits with 0, which it does
 * only when every reply was the right one.
 */
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'

/** As make has it: CC names another compiler. */
export const COMPILER = process.env.CC || 'cc'

/**
 * @param {string} folder where the program goes
 * @param {'load' | 'attack'} name which of the two
 * @param {boolean} hasTls the load generator with OpenSSL in it (Debian: libssl-dev)
 * @returns {string} its path
 */
export function compileGenerator(folder, name = 'load', hasTls = false) {
  const program = join(folder, hasTls ? `${name}-tls` : name)
  const source = join(import.meta.dirname, `${name}.c`)
  const [defines, libraries] = hasTls ? [['-DWITH_TLS'], ['-lssl', '-lcrypto']] : [[], []]
  execFileSync(
    COMPILER,
    ['-O2', '-Wall', '-Wextra', ...defines, '-o', program, source, ...libraries],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  )
  return program
}

/**
 * The generator's command line: `{ valueBytes: 100, prefill: true }` is `--value-bytes 100 --prefill`.
 *
 * @param {Readonly<Record<string, string | number | boolean>>} load
 */
export function generatorArguments(load) {
  return Object.entries(load).flatMap(([name, value]) => {
    const option = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
    if (value === false) return []
    return value === true ? [option] : [option, String(value)]
  })
}

/**
 * One run. Rejects with the generator's own words when a reply was wrong.
 *
 * @param {string} program
 * @param {readonly string[]} prefix what to start it with (taskset), may be empty
 * @param {Readonly<Record<string, string | number | boolean>>} load
 * @param {Set<import('node:child_process').ChildProcess>} children to end when the harness ends
 * @returns {Promise<any>} the JSON it printed
 */
export function runGenerator(program, prefix, load, children) {
  return new Promise((resolve, reject) => {
    const [command, ...rest] = [...prefix, program, ...generatorArguments(load)]
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    children.add(child)
    for (const stream of ['stdout', 'stderr']) {
      child[stream].setEncoding('utf8')
      child[stream].on('data', (text) => {
        output[stream] += text
      })
    }
    child.on('error', reject)
    child.on('close', (code, signal) => {
      children.delete(child)
      if (code === 0) resolve(JSON.parse(output.stdout))
      else reject(new Error(output.stderr.trim() || `the generator ended with ${code ?? signal}`))
    })
  })
}
