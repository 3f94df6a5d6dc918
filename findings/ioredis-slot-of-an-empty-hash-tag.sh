#!/usr/bin/env bash
# ioredis and iovalkey compute another slot than Redis for a key with an empty tag and a later one.
#
# Software:  ioredis 6.0.0 with cluster-key-slot 1.1.1, iovalkey 0.4.0 with 1.1.2 (npm);
#            redis-server 7.0.15 (Debian 12), run with cluster-enabled yes on 127.0.0.1.
# Behaviour: by the cluster specification only the first `{` counts, with the first `}` after it, and
#            if nothing is between them the whole key is hashed. cluster-key-slot goes on to the
#            next pair of braces instead, so these clients look for the key at the node of another
#            slot.
# Output seen:
# > {user}name: Redis 5474, ioredis 5474, iovalkey 5474
# > {}name: Redis 11364, ioredis 11364, iovalkey 11364
# > {}{user}name: Redis 9413, ioredis 9243, iovalkey 9243
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . ioredis@6.0.0 iovalkey@0.4.0 || exit 2
apt-get -qq -o APT::Sandbox::User=root download redis-server=5:7.0.15-1~deb12u10 redis-tools=5:7.0.15-1~deb12u10 \
  libjemalloc2=5.3.0-1 liblzf1=3.6-3 libatomic1=12.2.0-14+deb12u1 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu

port=$(node -e "const s = net.createServer().listen(0, '127.0.0.1', () => { console.log(s.address().port); s.close() })")
# The port of the cluster's bus is the port and 10000 unless it is given: that may be above 65535.
bus=$(node -e "const s = net.createServer().listen(0, '127.0.0.1', () => { console.log(s.address().port); s.close() })")
debian/usr/bin/redis-server --bind 127.0.0.1 --port "$port" --cluster-enabled yes --cluster-port "$bus" \
  --save '' --dir "$folder" >log &
server=$!
ask() { debian/usr/bin/redis-cli -h 127.0.0.1 -p "$port" "$@"; }
for _ in $(seq 100); do
  [ "$(ask ping 2>/dev/null)" = PONG ] && break
  sleep 0.1
done

# The slot by the copy of cluster-key-slot that the client itself loads.
slot() {
  node -e '
    const [client, key] = process.argv.slice(1)
    const path = require.resolve("cluster-key-slot", { paths: [require.resolve(client)] })
    console.log(require(path)(key))' "$1" "$2"
}
for key in '{user}name' '{}name' '{}{user}name'; do
  echo "$key: Redis $(ask cluster keyslot "$key"), ioredis $(slot ioredis "$key"), iovalkey $(slot iovalkey "$key")"
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
