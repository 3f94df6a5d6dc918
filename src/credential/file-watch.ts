/**
 * Files that are read again when they change. Changes are seen by watching directories, not files:
 * editors and `user add` rename a new file over the old one, and Kubernetes swaps a symbolic link beside
 * it. A slow look at the files themselves is the safety net for mounts that send no events.
 *
 * Invariant: one reading at a time, and while the file system does not answer no other is begun.
 */
import { type FSWatcher, watch } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { codeOf, describeFileError, type FileContent, readRegularFile } from './file-access.ts'

export interface FileAccess {
  readonly read: (path: string) => Promise<FileContent | string>
  readonly signature: (path: string) => Promise<string>
}

export interface FileWatchOptions {
  readonly paths: readonly string[]
  /** Quiet time after a change before the files are read. */
  readonly debounceMs?: number | undefined
  /** How often the files are looked at without any event; 0 for never. */
  readonly pollMs?: number | undefined
  /** How long the file system may take for one look at a file. */
  readonly answerMsMax?: number | undefined
  /** How files are looked at; for tests. */
  readonly access?: FileAccess | undefined
  /** They are not as they were when they were read last. */
  readonly onChange: () => Promise<unknown>
}

const DEFAULT_DEBOUNCE_MS = 100
const DEFAULT_POLL_MS = 5000
/** A network file system that is alive answers in far less. */
const DEFAULT_ANSWER_MS_MAX = 5000
const NO_ANSWER = Symbol('the file system does not answer')
/** Events that may extend the quiet time. */
const POSTPONED_MAX = 100

export class FileWatch {
  readonly #options: FileWatchOptions
  readonly #access: FileAccess
  readonly #watchers = new Map<string, FSWatcher>()
  #signatures: readonly string[] = []
  #watching = false
  #closed = false
  #debounce: NodeJS.Timeout | undefined
  #postponedCount = 0
  #poll: NodeJS.Timeout | undefined
  #running: Promise<unknown> = Promise.resolve()
  /** A look at the file system is out. */
  #isHeldUp = false
  #isLooking = false
  /** Somebody wanted to look meanwhile. */
  #looksAgain = false

  constructor(options: FileWatchOptions) {
    this.#options = options
    this.#access = options.access ?? { read: readRegularFile, signature: readSignature }
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** Has `load` read the files, after whoever reads them now. */
  reading<Result>(load: () => Promise<Result>): Promise<Result> {
    const loading = this.#running.then(async () => {
      // Taken before reading, so that a change while we read is seen as a change afterwards.
      this.#signatures = await this.#readSignatures()
      const result = await load()
      if (this.#watching && !this.#closed) await this.#watchDirectories()
      return result
    })
    this.#running = loading.catch(() => undefined)
    return loading
  }

  /** The content of a file; a string says what is wrong with it. For who is `reading`. */
  async read(path: string): Promise<FileContent | string> {
    try {
      const content = await this.#inTime(() => this.#access.read(path))
      return content === NO_ANSWER ? 'the file system does not answer' : content
    } catch (error) {
      return describeFileError(error)
    }
  }

  /** Starts to look for changes. The watchers keep no process alive. */
  async watch(): Promise<void> {
    if (this.#watching || this.#closed || this.#options.paths.length === 0) return
    this.#watching = true
    await this.#watchDirectories()
    const pollMs = this.#options.pollMs ?? DEFAULT_POLL_MS
    if (pollMs > 0) {
      this.#poll = setInterval(() => void this.#tellIfChanged(), pollMs)
      this.#poll.unref()
    }
  }

  /** Nobody is told of changes after this. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#debounce)
    clearInterval(this.#poll)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  async #watchDirectories(): Promise<void> {
    const wanted = new Set<string>()
    for (const path of this.#options.paths) {
      wanted.add(dirname(resolve(path)))
      const target = await this.#inTime(() => realpath(path)).catch(() => undefined)
      if (typeof target === 'string') wanted.add(dirname(target))
    }
    if (this.#closed) return
    for (const [directory, watcher] of this.#watchers) {
      if (wanted.has(directory)) continue
      watcher.close()
      this.#watchers.delete(directory)
    }
    for (const directory of wanted) {
      if (this.#watchers.has(directory)) continue
      try {
        const watcher = watch(directory, { persistent: false }, () => this.#scheduleCheck())
        watcher.on('error', () => {
          watcher.close()
          this.#watchers.delete(directory)
          this.#scheduleCheck()
        })
        this.#watchers.set(directory, watcher)
      } catch {
        // No such directory yet, or no watches left in the kernel: the slow look remains.
      }
    }
  }

  #scheduleCheck(): void {
    // A directory in which something else changes all the time must not put us off for ever.
    if (this.#closed || this.#postponedCount > POSTPONED_MAX) return
    this.#postponedCount += 1
    clearTimeout(this.#debounce)
    this.#debounce = setTimeout(() => {
      this.#postponedCount = 0
      void this.#tellIfChanged()
    }, this.#options.debounceMs ?? DEFAULT_DEBOUNCE_MS)
    this.#debounce.unref()
  }

  async #tellIfChanged(): Promise<void> {
    // One at a time; while the file system does not answer, more would only wait with it.
    if (this.#isLooking) {
      this.#looksAgain = true
      return
    }
    this.#isLooking = true
    try {
      const looking = this.#running.then(() => this.#haveFilesChanged())
      this.#running = looking.catch(() => undefined)
      if ((await looking) && !this.#closed) await this.#options.onChange()
    } finally {
      this.#isLooking = false
      // What came while the files were read may not have been read.
      if (this.#looksAgain) this.#scheduleCheck()
      this.#looksAgain = false
    }
  }

  async #haveFilesChanged(): Promise<boolean> {
    if (this.#closed) return false
    const now = await this.#readSignatures()
    return now.some((signature, index) => signature !== this.#signatures[index])
  }

  async #readSignatures(): Promise<string[]> {
    const signatures: string[] = []
    for (const path of this.#options.paths) {
      const signature = await this.#inTime(() => this.#access.signature(path))
      signatures.push(signature === NO_ANSWER ? 'no answer' : signature)
    }
    return signatures
  }

  /**
   * The result of one look at the file system, or NO_ANSWER if it takes too long. A look cannot be
   * called off, and holds one of the few threads that passwords are checked on as well: while one
   * is out, no other is begun.
   */
  async #inTime<Result>(look: () => Promise<Result>): Promise<Result | typeof NO_ANSWER> {
    if (this.#isHeldUp) return NO_ANSWER
    this.#isHeldUp = true
    const looking = look().finally(() => {
      this.#isHeldUp = false
    })
    let timer: NodeJS.Timeout | undefined
    const tooLate = new Promise<typeof NO_ANSWER>((resolve) => {
      timer = setTimeout(
        () => resolve(NO_ANSWER),
        this.#options.answerMsMax ?? DEFAULT_ANSWER_MS_MAX,
      )
      timer.unref()
    })
    try {
      return await Promise.race([looking, tooLate])
    } finally {
      clearTimeout(timer)
      looking.catch(() => undefined)
    }
  }
}

/** Changes whenever the content may have: another file, size or time of change. */
async function readSignature(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (error) {
    return codeOf(error)
  }
}
