/**
 * Snapshots on file systems that are full or can only be read: real ones, a small tmpfs in a mount namespace that
 * nobody else sees. Only root may mount one; what else a disk can do is played in snapshot-keeper.test.ts.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { startSaslcached, type TestServer } from '../support/server.ts'
import { TextClient } from '../support/text-client.ts'

const USER = { name: 'root', password: 's3cret' }
const LARGE = 'L'.repeat(900_000)
/** What needs more than one of them to fill. */
const DISK = '2m'

const mayMount = spawnSync('sh', ['-c', 'unshare -m mount -t tmpfs tmpfs /mnt']).status === 0
if (!mayMount)
  console.warn('snapshots on a real disk: skipped: it takes root, and the right to mount')

/** A file system of its own at `folder`, as those see it whom `launcher` starts. */
class Disk {
  readonly folder: string
  private readonly namespace: string
  /** The same folder from outside. */
  private readonly seen: string

  private constructor(folder: string, pid: number) {
    this.folder = folder
    this.namespace = `/proc/${pid}/ns/mnt`
    this.seen = `/proc/${pid}/root${folder}`
  }

  static async mount(): Promise<Disk> {
    const folder = mkdtempSync(join(tmpdir(), 'saslcached-disk-'))
    const script = `mount -t tmpfs -o size=${DISK},mode=700 tmpfs "$0" && echo mounted && exec cat`
    // It has the namespace until its standard input ends, so not longer than this process lives.
    const holder = spawn('sh', ['-c', 'exec unshare -m sh -c "$0" "$1"', script, folder], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    onTestFinished(() => {
      holder.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    })
    const [said] = await once(holder.stdout, 'data')
    expect(String(said)).toBe('mounted\n')
    return new Disk(folder, holder.pid ?? 0)
  }

  get launcher(): readonly string[] {
    return ['nsenter', `--mount=${this.namespace}`]
  }

  get snapshot(): string {
    return join(this.folder, 'snapshot')
  }

  get files(): string[] {
    return readdirSync(this.seen)
  }

  read(file: string): Buffer {
    return readFileSync(join(this.seen, file))
  }

  remount(how: 'ro' | 'rw'): void {
    const [command = '', ...argv] = this.launcher
    const done = spawnSync(command, [...argv, 'mount', '-o', `remount,${how}`, this.folder])
    expect(done.status).toBe(0)
  }
}

async function start(disk: Disk): Promise<TestServer> {
  const server = await startSaslcached({
    users: [USER],
    launcher: disk.launcher,
    flags: ['--snapshot', disk.snapshot],
  })
  onTestFinished(() => server.signal('SIGKILL'))
  // A stop that comes before is one of the start, which cuts who has come.
  await server.waitForLog(({ event }) => event === 'started')
  return server
}

async function login(server: TestServer): Promise<TextClient> {
  const client = new TextClient(server)
  const message = `\0${USER.name}\0${USER.password}`
  const answer = await client.ask(`sasl auth PLAIN ${message.length}\r\n${message}\r\n`)
  expect(answer).toBe('SASL_OK\r\n')
  return client
}

/** The message of an event, which the server has written by its end. */
function said(server: TestServer, event: string): unknown {
  return server.log().find((record) => record.event === event)?.message
}

async function keyOf(server: TestServer): Promise<string> {
  return await (await login(server)).ask('get key\r\n', 'END\r\n')
}

describe.runIf(mayMount)('a disk', () => {
  test('that is full at the stop costs the snapshot and leaves nothing of it', async () => {
    const disk = await Disk.mount()
    const first = await start(disk)
    await (await login(first)).ask('set key 0 0 3\r\nold\r\n')
    await first.stop()
    expect(disk.files).toEqual(['snapshot'])

    const second = await start(disk)
    await second.waitForLog(({ event }) => event === 'snapshot_restored')
    const client = await login(second)
    for (const key of ['a', 'b', 'c']) {
      expect(await client.ask(`set ${key} 0 0 ${LARGE.length}\r\n${LARGE}\r\n`)).toBe('STORED\r\n')
    }
    await second.stop()
    expect(said(second, 'snapshot_failed')).toContain('the disk is full (ENOSPC)')
    expect(disk.files).toEqual([])

    const third = await start(disk)
    expect(await keyOf(third)).toBe('END\r\n')
    await (await login(third)).ask('set key 0 0 3\r\nnew\r\n')
    await third.stop()
    expect(disk.files).toEqual(['snapshot'])
  })

  test('that can only be read costs the snapshot: nothing of it is used, and it stays as it is', async () => {
    const disk = await Disk.mount()
    const first = await start(disk)
    await (await login(first)).ask('set key 0 0 3\r\nold\r\n')
    await first.stop()
    const before = disk.read('snapshot')

    disk.remount('ro')
    const second = await start(disk)
    expect(await keyOf(second)).toBe('END\r\n')
    await second.stop()
    expect(said(second, 'snapshot_unavailable')).toContain('can only be read (EROFS)')
    expect(said(second, 'snapshot_refused')).toContain('could not be removed')
    expect(said(second, 'snapshot_failed')).toContain('can only be read')
    expect(disk.files).toEqual(['snapshot'])
    expect(disk.read('snapshot').equals(before)).toBe(true)

    disk.remount('rw')
    const third = await start(disk)
    await third.waitForLog(({ event }) => event === 'snapshot_restored')
    expect(await keyOf(third)).toBe('VALUE key 0 3\r\nold\r\nEND\r\n')
    await third.stop()
  })
})
