#!/usr/bin/env bash
# What saslprep keeps for its tables is for the most part empty slots of arrays.
#
# Software:  saslprep 1.0.3 with sparse-bitfield 3.0.3 and memory-pager 1.5.0 (npm), Node.js 20.20.2, 26.12.1.
# Behaviour: The tables of RFC 3454 are 420 KB in a file. The module reads them into six sparse bitfields, whose pages
#            are in an array that has 32768 slots from the beginning, 8 bytes each. 410 of the 196,608 are used, and
#            the heap grows by more than 1.5 MB, for good and in every thread that loads it.
# Output seen:
# > unassigned_code_points: 32768 slots, 120 used
# > commonly_mapped_to_nothing: 32768 slots, 8 used
# > non_ASCII_space_characters: 32768 slots, 2 used
# > prohibited_characters: 32768 slots, 136 used
# > bidirectional_r_al: 32768 slots, 8 used
# > bidirectional_l: 32768 slots, 136 used
# > the heap grew by more than 1.5 MB: true
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . \
  saslprep@1.0.3 sparse-bitfield@3.0.3 memory-pager@1.5.0 || exit 2

cat >slots.cjs <<'END'
gc()
const before = process.memoryUsage().heapUsed
require('saslprep')
gc()
const grown = process.memoryUsage().heapUsed - before
for (const [name, { pages: pager }] of Object.entries(require('saslprep/lib/memory-code-points.js'))) {
  const used = pager.pages.filter((page) => page !== undefined)
  console.log(`${name}: ${pager.pages.length} slots, ${used.length} used`)
}
console.log(`the heap grew by more than 1.5 MB: ${grown > 1_500_000}`)
END
node --expose-gc slots.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
