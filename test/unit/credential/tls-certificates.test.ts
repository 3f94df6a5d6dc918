import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readRegularFile } from '../../../src/credential/file-access.ts'
import { FileWatch } from '../../../src/credential/file-watch.ts'
import { formatPem, PEM_BLOCKS_MAX, readPem } from '../../../src/credential/pem.ts'
import {
  type LoadedCertificates,
  loadCertificates,
} from '../../../src/credential/tls-certificates.ts'
import {
  TlsFileError,
  type TlsFilePair,
  type TlsFiles,
  tlsFilePaths,
} from '../../../src/credential/tls-files.ts'
import { TestAuthority } from '../../support/authority.ts'

const DAY_MS = 86_400_000
/** Later than anything that is made below. */
const NOW_MS = Date.now() + 3_600_000

const root = new TestAuthority('/CN=Root')
const intermediate = new TestAuthority('/CN=Between', root)
const good = root.issue()
const other = root.issue()
const chained = intermediate.issue()
afterAll(() => {
  root.remove()
  intermediate.remove()
})

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'saslcached-tls-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

function put(name: string, text: string | Uint8Array, mode = 0o600): string {
  const path = join(directory, name)
  writeFileSync(path, text, { mode })
  return path
}

function pairOf(certificate: string, key: string, password?: string): TlsFilePair {
  return {
    certificateFile: put('tls.crt', certificate),
    keyFile: put('tls.key', key),
    keyPasswordFile: password === undefined ? undefined : put('password', password),
  }
}

function load(files: Partial<TlsFiles>, nowMs = NOW_MS): Promise<LoadedCertificates> {
  const all = {
    pairs: files.pairs ?? [pairOf(good.certificate, good.key)],
    caFile: files.caFile,
    crlFile: files.crlFile,
  }
  const watch = new FileWatch({ paths: [], onChange: () => Promise.resolve() })
  return loadCertificates(all, (path) => watch.read(path), nowMs)
}

/** All problems, with the directory left out. */
async function problemsOf(files: Partial<TlsFiles>, nowMs = NOW_MS): Promise<string[]> {
  const error = await load(files, nowMs).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof TlsFileError)) throw error ?? new Error('it was taken')
  return error.message.replaceAll(`${directory}/`, '').split('\n')
}

describe('a pair that is good', () => {
  test('is taken, with the names that it is for', async () => {
    const { certificate, key } = root.issue({ names: 'DNS:Cache.Example,DNS:*.shop.example' })
    const { identities, dated, warnings } = await load({ pairs: [pairOf(certificate, key)] })
    expect(identities.map(({ names }) => names)).toEqual([['cache.example', '*.shop.example']])
    expect(dated).toMatchObject([{ role: 'chain', name: 'cache.example', what: 'the certificate' }])
    expect(warnings).toEqual([])
    expect(structuredClone(identities)).toEqual(identities)
  })

  test('may have a chain, comments between, and both in one file', async () => {
    const text = `who: me\n${chained.key}\n# the server\n${chained.certificate}${intermediate.certificate}`
    const file = put('all.pem', text)
    const pair = { certificateFile: file, keyFile: file, keyPasswordFile: undefined }
    const [identity] = (await load({ pairs: [pair] })).identities
    expect(identity?.certificate.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
    expect(identity?.certificate).not.toContain('#')
    expect(tlsFilePaths({ pairs: [pair], caFile: undefined, crlFile: undefined })).toEqual([file])
  })

  test('may have a key that is encrypted', async () => {
    const encrypted = root.encrypt(good.key, 'pass word')
    const { identities } = await load({
      pairs: [pairOf(good.certificate, encrypted, 'pass word\n')],
    })
    const key = createPrivateKey(identities[0]?.key ?? '')
    expect(key.equals(createPrivateKey(good.key))).toBe(true)
  })

  test('may be one of several, also with keys of two kinds for the same names', async () => {
    const rsa = root.issue({ key: 'rsa:2048' })
    const files = [good, rsa, root.issue({ names: 'DNS:b' })].map(
      ({ certificate, key }, index) => ({
        certificateFile: put(`${index}.crt`, certificate),
        keyFile: put(`${index}.key`, key),
        keyPasswordFile: undefined,
      }),
    )
    expect((await load({ pairs: files })).identities).toHaveLength(3)
  })

  test('is warned about where clients or others on the machine would have trouble', async () => {
    const nameless = root.issue({ names: '' })
    const pair = pairOf(nameless.certificate, nameless.key)
    chmodSync(pair.keyFile, 0o644)
    const { identities, warnings } = await load({ pairs: [pair] })
    expect(identities[0]?.names).toEqual(['localhost'])
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringContaining('no subject alternative name'),
      'everybody on this machine may read the key; run chmod o-rw on it',
    ])
  })

  test.each([
    [0o602, 'change'],
    [0o604, 'read'],
    [0o606, 'read and change'],
    [0o660, undefined],
  ])('with a key of mode %o is warned about who may %s it', async (mode, what) => {
    const pair = pairOf(good.certificate, good.key)
    chmodSync(pair.keyFile, mode)
    const { warnings } = await load({ pairs: [pair] })
    const message = `everybody on this machine may ${what} the key; run chmod o-rw on it`
    expect(warnings).toMatchObject(what === undefined ? [] : [{ role: 'key', message }])
  })

  test('with a password of its key that everybody may read is warned about that', async () => {
    const pair = pairOf(good.certificate, root.encrypt(good.key, 'secret'), 'secret')
    expect((await load({ pairs: [pair] })).warnings).toEqual([])
    chmodSync(pair.keyPasswordFile ?? '', 0o644)
    const message =
      'everybody on this machine may read the password of the key; run chmod o-rw on it'
    expect((await load({ pairs: [pair] })).warnings).toEqual([
      { role: 'key', file: pair.keyPasswordFile, line: 0, message },
    ])
  })

  test('is warned about where a signature with its key takes milliseconds', async () => {
    const slow = root.issue({ key: 'rsa:3072' })
    const { warnings } = await load({ pairs: [pairOf(slow.certificate, slow.key)] })
    expect(warnings).toMatchObject([{ role: 'key', message: expect.stringContaining('3072 bits') }])
  })
})

describe('what is wrong is told with its file and what to do', () => {
  test('a key of another certificate', async () => {
    expect(await problemsOf({ pairs: [pairOf(good.certificate, other.key)] })).toEqual([
      expect.stringMatching(/^tls\.key: the key does not fit the certificate of tls\.crt/),
    ])
  })

  test('a certificate out of its time, at either end', async () => {
    const { validFrom, validTo } = new X509Certificate(good.certificate)
    expect(await problemsOf({}, Date.parse(validTo) + 1000)).toEqual([
      `tls.crt:1: the certificate that begins here has expired on ${validTo}: have it renewed`,
    ])
    expect(await problemsOf({}, Date.parse(validFrom) - 1000)).toEqual([
      `tls.crt:1: the certificate that begins here is not valid before ${validFrom}: is the clock right?`,
    ])
    await load({}, Date.parse(validTo))
    await load({}, Date.parse(validFrom))
  })

  test('files that are not there, all at once', async () => {
    rmSync(put('gone', ''))
    const [certificateFile = '', keyFile = '', caFile, crlFile] = ['a', 'b', 'c', 'd'].map((name) =>
      join(directory, name),
    )
    const pair = { certificateFile, keyFile, keyPasswordFile: undefined }
    const missing = ['a', 'b', 'c', 'd'].map((name) => `${name}: there is no such file`)
    expect(await problemsOf({ pairs: [pair], caFile, crlFile })).toEqual(missing)
    const same = { ...pair, keyFile: certificateFile }
    expect(await problemsOf({ pairs: [same] })).toEqual(missing.slice(0, 1))
  })

  test('a directory, a link that leads nowhere, a link in a circle', async () => {
    mkdirSync(join(directory, 'folder'))
    symlinkSync('nowhere', join(directory, 'dangling'))
    symlinkSync('circle', join(directory, 'circle'))
    const keyFile = put('tls.key', good.key)
    for (const [name, why] of [
      ['folder', 'this is a directory, not a regular file'],
      ['dangling', 'there is no such file'],
      ['circle', 'the file cannot be read or written (ELOOP)'],
    ] as const) {
      const certificateFile = join(directory, name)
      const pair = { certificateFile, keyFile, keyPasswordFile: undefined }
      expect(await problemsOf({ pairs: [pair] })).toEqual([`${name}: ${why}`])
    }
  })

  test('a file that is unreadable: the words of the system', async () => {
    const refused = Object.assign(new Error('EACCES'), { code: 'EACCES' })
    const watch = new FileWatch({
      paths: [],
      access: {
        read: (path) => (path.endsWith('key') ? Promise.reject(refused) : readRegularFile(path)),
        signature: () => Promise.resolve(''),
      },
      onChange: () => Promise.resolve(),
    })
    const files = {
      pairs: [pairOf(good.certificate, good.key)],
      caFile: undefined,
      crlFile: undefined,
    }
    const loading = loadCertificates(files, (path) => watch.read(path), NOW_MS)
    await expect(loading).rejects.toThrow('no permission for this file: check its owner and mode')
  })

  test.each([
    ['empty', '', 'tls.crt: the file is empty'],
    ['blank', ' \n', 'tls.crt: the file is empty'],
    ['something else', 'hello\n', 'tls.crt: there is no certificate in PEM in the file'],
    ['a key', good.key, 'tls.crt: there is no certificate in PEM in the file'],
    [
      'half written',
      good.certificate.slice(0, 300),
      'tls.crt:1: the CERTIFICATE that begins here has no end: the file is cut off, or still being written',
    ],
    [
      'damaged base64',
      good.certificate.replace('MII', 'M!I'),
      'tls.crt:1: the CERTIFICATE that begins here is not base64',
    ],
    [
      'damaged inside',
      formatPem('CERTIFICATE', Buffer.from('no certificate')),
      'tls.crt:1: what begins here is not a certificate: it is damaged',
    ],
    [
      'one with something behind it',
      formatPem(
        'CERTIFICATE',
        Buffer.concat([new X509Certificate(good.certificate).raw, Buffer.from('x')]),
      ),
      'tls.crt:1: what begins here is not a certificate: it is damaged',
    ],
    ['not text', Buffer.from([0x41, 0x0a, 0xff]), 'tls.crt:2: this line is not text, and PEM is'],
    [
      'DER',
      new X509Certificate(good.certificate).raw,
      'tls.crt: the file is DER, not PEM: convert it (openssl x509 -inform DER)',
    ],
    [
      'huge',
      'x'.repeat(1024 * 1024 + 1),
      'tls.crt: the file has 1048577 bytes; at most 1048576 are allowed',
    ],
    [
      'the same, two hundred times',
      good.certificate.repeat(200),
      'tls.crt: there are more than 10 certificates in the chain',
    ],
    [
      'in the wrong order',
      `${intermediate.certificate}${chained.certificate}`,
      expect.stringMatching(/^tls\.crt:1: .*was not signed by the one behind it/),
    ],
    [
      'with somebody between who has signed nothing',
      `${chained.certificate}${root.certificate}`,
      expect.stringMatching(/^tls\.crt:1: .*was not signed by the one behind it/),
    ],
    [
      'of a client',
      root.issue({ extensions: 'extendedKeyUsage=clientAuth' }).certificate,
      expect.stringMatching(/^tls\.crt:1: this certificate is not for servers/),
    ],
  ])('a certificate file that is %s', async (_, text, problem) => {
    const keyFile = put('tls.key', good.key)
    const pair = {
      certificateFile: put('tls.crt', text),
      keyFile,
      keyPasswordFile: undefined,
    }
    expect(await problemsOf({ pairs: [pair] })).toEqual([problem])
  })

  test('a file of more than the reader takes is not read to its end', async () => {
    const file = put('huge', '')
    const watch = new FileWatch({
      paths: [],
      access: {
        read: () => Promise.resolve('the file has 99999999 bytes; at most 16777216 are allowed'),
        signature: () => Promise.resolve(''),
      },
      onChange: () => Promise.resolve(),
    })
    const pair = { certificateFile: file, keyFile: file, keyPasswordFile: undefined }
    const files = { pairs: [pair], caFile: undefined, crlFile: undefined }
    await expect(loadCertificates(files, (path) => watch.read(path), NOW_MS)).rejects.toThrow(
      'at most 16777216',
    )
  })

  const { privateKey } = generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 })
  const dsa = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  test.each([
    ['is not there', good.certificate, 'there is no private key in PEM in the file'],
    [
      'is there twice',
      good.key + other.key,
      expect.stringContaining('there is a second private key here; leave one'),
    ],
    [
      'is damaged',
      formatPem('PRIVATE KEY', Buffer.from('nothing')),
      expect.stringContaining('cannot be read: it is damaged'),
    ],
    [
      'is cut off',
      good.key.slice(0, 100),
      expect.stringContaining('the PRIVATE KEY that begins here has no end'),
    ],
    ['is of no use', dsa, expect.stringContaining('TLS has no use for a key of the kind dsa')],
    [
      'is weak',
      root.issue({ key: 'rsa:1024' }).key,
      expect.stringContaining('the RSA key has 1024 bits, which can be broken'),
    ],
    [
      'is on a curve that nobody speaks',
      root.issue({ key: 'ec:secp256k1' }).key,
      expect.stringContaining('the key is on the curve secp256k1, which clients do not know'),
    ],
  ])('a key that %s', async (_, key, problem) => {
    const [told, ...others] = await problemsOf({ pairs: [pairOf(good.certificate, key)] })
    expect(told?.replace(/^tls\.key(:\d+)?: /, '')).toEqual(problem)
    expect(others).toEqual([])
  })

  test('a password that is wrong, missing, empty, too long or two', async () => {
    const key = root.encrypt(good.key, 'right')
    const told = (password?: string): Promise<string[]> =>
      problemsOf({ pairs: [pairOf(good.certificate, key, password)] })
    expect(await told()).toEqual([expect.stringContaining('--tls-key-password-file')])
    expect(await told('wrong')).toEqual([
      'tls.key:1: the key cannot be decrypted: is the password in ' +
        `${join(directory, 'password')} the right one?`.replace(`${directory}/`, ''),
    ])
    expect(await told('\n')).toEqual(['password: the file is empty'])
    expect(await told('right\nwrong\n')).toEqual([
      'password: there is more than one line; the password is one',
    ])
    expect(await told('x'.repeat(2000))).toEqual([
      'password: the file has 2000 bytes; at most 1026 are allowed',
    ])
  })

  test('certificates of which one would never be shown', async () => {
    const nameless = root.issue({ names: '', subject: '/O=nobody' })
    const files = [good, other, nameless].map(({ certificate, key }, index) => ({
      certificateFile: put(`${index}.crt`, certificate),
      keyFile: put(`${index}.key`, key),
      keyPasswordFile: undefined,
    }))
    expect(await problemsOf({ pairs: files })).toEqual([
      '1.crt: the certificate has the same names, and the same kind of key, as that of 0.crt',
      '2.crt: the certificate names no host, and so would never be shown: put it first',
    ])
  })

  test('nothing of a key or of a password is ever in a message', async () => {
    const body = good.key.split('\n')[1] ?? ''
    const cut = good.key.replace('-----END PRIVATE KEY-----', '')
    const messages = [
      ...(await problemsOf({ pairs: [pairOf(good.certificate, cut)] })),
      ...(await problemsOf({ pairs: [pairOf(good.certificate, `${body}\n`)] })),
      ...(await problemsOf({
        pairs: [pairOf(good.key.replaceAll('PRIVATE KEY', 'CERTIFICATE'), good.key)],
      })),
      ...(await problemsOf({
        pairs: [pairOf(good.certificate, root.encrypt(good.key, 'hunter2'), 'hunter3')],
      })),
    ].join('\n')
    expect(messages).not.toContain(body.slice(0, 16))
    expect(messages).not.toContain('hunter')
  })
})

describe('authorities of clients', () => {
  test('are taken as they are, several and with an old one among them', async () => {
    const caFile = put('ca.pem', root.certificate + intermediate.certificate)
    const { ca } = await load({ caFile })
    expect(ca?.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
    const soon = Date.parse(new X509Certificate(intermediate.certificate).validTo) + DAY_MS
    const own = root.issue({ days: 90 })
    const { warnings } = await load({ pairs: [pairOf(own.certificate, own.key)], caFile }, soon)
    expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining('has expired')])
  })

  test('are not taken if they may not sign, or are all too old', async () => {
    const caFile = put('ca.pem', good.certificate)
    expect(await problemsOf({ caFile })).toEqual([
      'ca.pem:1: the certificate that begins here is not one of an authority (CA:TRUE)',
    ])
    const old = put('ca.pem', intermediate.certificate)
    const soon = Date.parse(new X509Certificate(intermediate.certificate).validTo) + DAY_MS
    const own = root.issue({ days: 90 })
    expect(
      await problemsOf({ pairs: [pairOf(own.certificate, own.key)], caFile: old }, soon),
    ).toEqual(['ca.pem: every certificate in the file has expired: have it renewed'])
  })
})

describe('a list of revoked certificates', () => {
  test('is taken if every authority has one and none is too old', async () => {
    const caFile = put('ca.pem', root.certificate + intermediate.certificate)
    const lists = root.revocationList([other]) + intermediate.revocationList([])
    const { crl, dated } = await load({ caFile, crlFile: put('crl.pem', lists) })
    expect(crl?.match(/BEGIN X509 CRL/g)).toHaveLength(2)
    expect(dated.map(({ what }) => what)).toContain('the list of revoked certificates')
  })

  test('is not taken otherwise', async () => {
    const caFile = put('ca.pem', root.certificate + intermediate.certificate)
    const list = root.revocationList([], 1)
    const told = (text: string, nowMs = NOW_MS): Promise<string[]> =>
      problemsOf({ caFile, crlFile: put('crl.pem', text) }, nowMs)
    expect(await told(list)).toEqual([
      'crl.pem: there is no list of CN=Between in it: every client that it signed for would be refused',
    ])
    expect(await told(root.certificate)).toEqual([
      'crl.pem:1: what begins here is not a list of revoked certificates (X509 CRL)',
    ])
    expect(await told('nothing')).toEqual([
      'crl.pem: there is no list of revoked certificates (X509 CRL) in PEM',
    ])
    expect(await told(list.slice(0, 200))).toEqual([expect.stringContaining('has no end')])
    expect(await told(list, NOW_MS + 2 * DAY_MS)).toEqual([
      expect.stringMatching(/^crl\.pem: a list in it was good until .*: fetch a new one/),
    ])
  })
})

test.each(['ec:P-256', 'ec:P-384', 'rsa:2048'])(
  'a list that its authority (%s) has not signed is not taken',
  async (key) => {
    const authority = new TestAuthority('/CN=Lists', undefined, key)
    const namesake = new TestAuthority('/CN=Lists', undefined, key)
    const caFile = put('ca.pem', authority.certificate)
    const good = authority.revocationList([])
    expect((await load({ caFile, crlFile: put('crl.pem', good) })).crl).toContain('X509 CRL')
    const told = [
      'crl.pem:1: the list that begins here is not signed by the authority that it names',
    ]
    const forged = namesake.revocationList([])
    expect(await problemsOf({ caFile, crlFile: put('crl.pem', forged) })).toEqual(told)
    // Of two keys of one name either will do.
    const both = put('ca.pem', authority.certificate + namesake.certificate)
    expect((await load({ caFile: both, crlFile: put('crl.pem', forged) })).crl).toContain(
      'X509 CRL',
    )
    const read = readPem(good)
    const block = Array.isArray(read) ? (read[0] as { readonly bytes: Uint8Array }) : undefined
    const spoiled = Buffer.from(block?.bytes ?? [])
    spoiled[spoiled.length - 1]! ^= 1
    const crlFile = put('crl.pem', formatPem('X509 CRL', spoiled))
    expect(await problemsOf({ caFile: put('ca.pem', authority.certificate), crlFile })).toEqual(
      told,
    )
    authority.remove()
    namesake.remove()
  },
)

describe('the reader of PEM', () => {
  test('finds what formatPem writes, wherever it stands', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 5 }),
        fc.string({ maxLength: 40 }).filter((text) => !text.includes('-----')),
        fc.constantFrom('\n', '\r\n'),
        (contents, between, newline) => {
          const blocks = contents.map((bytes) => formatPem('CERTIFICATE', bytes))
          const text = ['', ...blocks].join(`${between}\n`).replaceAll('\n', newline)
          const read = readPem(text)
          if ('message' in read) throw new Error(read.message)
          expect(read.map(({ bytes }) => [...bytes])).toEqual(contents.map((bytes) => [...bytes]))
        },
      ),
    )
  })

  test('ends with blocks or with a problem, whatever it is given', () => {
    const piece = fc.constantFrom(
      '-----BEGIN CERTIFICATE-----',
      '-----END CERTIFICATE-----',
      '-----BEGIN X-----',
      '-----',
      'QUJD',
      'Proc-Type: 4,ENCRYPTED',
      '',
      '\0',
      '=',
    )
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 12 }), (lines) => {
        const read = readPem(lines.join('\n'))
        if ('message' in read) expect(read.line).toBeGreaterThan(0)
        else for (const { bytes } of read) expect(bytes.length).toBeGreaterThan(0)
      }),
      { numRuns: 2000 },
    )
  })

  test('takes no more blocks than a bundle has', () => {
    const block = formatPem('X', Buffer.from('abc'))
    expect(readPem(block.repeat(PEM_BLOCKS_MAX))).toHaveLength(PEM_BLOCKS_MAX)
    expect(readPem(block.repeat(PEM_BLOCKS_MAX + 1))).toMatchObject({
      message: expect.stringContaining('more than 1000'),
    })
  })
})
