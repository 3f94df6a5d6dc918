/**
 * .sbom.mjs [NODE]: prints the software bill of materials as CycloneDX 1.5 JSON, for the npm package. With the path of
 * a node binary, that of the image: also Node itself, what is linked into it, and the Debian packages whose
 * `dpkg-query --status` records come on standard input.
 *
 * Run-time packages are those of package-lock.json, with their hashes, as `npm sbom` tells them.
 * What it adds of its own each time, a time and a serial number, is left out: the same sources give the same bytes.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Of process.versions, what is code of others and has names of its own in lists of faults. */
const LINKED = [
  'ada',
  'ares',
  'brotli',
  'icu',
  'llhttp',
  'openssl',
  'simdjson',
  'uv',
  'v8',
  'zlib',
  'zstd',
]

const { name } = JSON.parse(readFileSync('package.json', 'utf8'))
const flags = [
  '--omit=dev',
  '--package-lock-only',
  '--sbom-format=cyclonedx',
  '--sbom-type=application',
]
const { serialNumber: _, ...bom } = JSON.parse(
  execFileSync('npm', ['sbom', ...flags], { encoding: 'utf8' }),
)
delete bom.metadata.timestamp
// npm takes the folder's name.
bom.metadata.component.name = name

const [node] = process.argv.slice(2)
if (node !== undefined) {
  bom.components.push(...componentsOfNode(node))
  bom.components.push(...debianComponents(readFileSync(0, 'utf8')))
}
process.stdout.write(`${JSON.stringify(bom, undefined, 2)}\n`)

function componentsOfNode(path) {
  const print = 'JSON.stringify(process.versions)'
  const versions = JSON.parse(execFileSync(path, ['--print', print], { encoding: 'utf8' }))
  return [
    {
      'bom-ref': `node@${versions.node}`,
      type: 'platform',
      name: 'node',
      version: versions.node,
      cpe: `cpe:2.3:a:nodejs:node.js:${versions.node}:*:*:*:*:*:*:*`,
      purl: `pkg:generic/node@${versions.node}`,
    },
    ...LINKED.filter((library) => versions[library] !== undefined).map((library) => ({
      'bom-ref': `node/${library}@${versions[library]}`,
      type: 'library',
      name: library,
      version: versions[library],
      purl: `pkg:generic/${library}@${encodeURIComponent(versions[library])}`,
    })),
  ]
}

function debianComponents(records) {
  return records
    .split(/\n\n+/)
    .map((record) => ({
      name: field(record, 'Package'),
      version: field(record, 'Version'),
      architecture: field(record, 'Architecture'),
    }))
    .filter(({ name }) => name !== undefined)
    .map(({ name, version, architecture }) => ({
      'bom-ref': `debian/${name}@${version}`,
      type: 'library',
      name,
      version,
      purl: `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}`,
    }))
}

function field(record, name) {
  return new RegExp(`^${name}: (.*)$`, 'm').exec(record)?.[1]
}
