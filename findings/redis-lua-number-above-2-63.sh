#!/usr/bin/env bash
# A Lua script of Redis gives 2^63 back as a negative number, and stores it with an exponent.
#
# Software:  redis-server 7.0.15 (Debian 12, amd64), run on a Unix socket.
# Behaviour: Lua's numbers are doubles. One that a script returns is turned into a signed 64-bit
#            integer: what is too large comes out as the most negative one. One that a script passes
#            to redis.call is written with up to 17 digits, so the same number is stored in exponent
#            form. Neither is an error. Between 2^53 and 2^63 the last digits are lost. memcached's
#            counters are unsigned 64-bit numbers: a script that keeps them needs arithmetic on
#            parts of them, and strings.
# Output seen:
# > 9007199254740991: returned as 9007199254740991, stored as 9007199254740991
# > 9007199254740993: returned as 9007199254740992, stored as 9007199254740992
# > 9223372036854775808: returned as -9223372036854775808, stored as 9.2233720368547758e+18
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download redis-server=5:7.0.15-1~deb12u10 redis-tools=5:7.0.15-1~deb12u10 \
  libjemalloc2=5.3.0-1 liblzf1=3.6-3 libatomic1=12.2.0-14+deb12u1 || exit 2
for package in *.deb; do dpkg -x "$package" debian; done
export LD_LIBRARY_PATH=$folder/debian/usr/lib/x86_64-linux-gnu

# Its socket is in the folder, so there is no port.
debian/usr/bin/redis-server --port 0 --unixsocket "$folder/socket" --save '' --dir "$folder" >log &
server=$!
ask() { debian/usr/bin/redis-cli -s "$folder/socket" "$@"; }
for _ in $(seq 100); do
  [ "$(ask ping 2>/dev/null)" = PONG ] && break
  sleep 0.1
done

for number in 9007199254740991 9007199254740993 9223372036854775808; do
  ask set counter "$number" >/dev/null
  returned=$(ask eval "return tonumber(redis.call('get', KEYS[1]))" 1 counter)
  ask eval "redis.call('set', KEYS[1], tonumber(redis.call('get', KEYS[1])))" 1 counter >/dev/null
  echo "$number: returned as $returned, stored as $(ask get counter)"
done | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
