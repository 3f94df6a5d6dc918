#!/usr/bin/env bash
# saslprep raises a TypeError for a string of which nothing is left once it is prepared.
#
# Software:  saslprep 1.0.3 and @mongodb-js/saslprep 1.6.3 (npm).
# Behaviour: RFC 4013 maps some characters, the soft hyphen among them, to nothing. A string of only
#            such characters is empty after that, and the empty string by itself is prepared to
#            itself. Both packages look at the first character of what is left without asking
#            whether there is one, and a TypeError comes from inside them.
# Output seen:
# > saslprep, nothing: ""
# > saslprep, a and a soft hyphen: "a"
# > saslprep, a soft hyphen: TypeError
# > @mongodb-js/saslprep, nothing: ""
# > @mongodb-js/saslprep, a and a soft hyphen: "a"
# > @mongodb-js/saslprep, a soft hyphen: TypeError
set -euo pipefail
script=$(realpath "$0")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-save --ignore-scripts --prefix . saslprep@1.0.3 @mongodb-js/saslprep@1.6.3 || exit 2

cat >prepare.cjs <<'END'
for (const name of ['saslprep', '@mongodb-js/saslprep']) {
  const prepare = require(name)
  for (const [title, text] of [['nothing', ''], ['a and a soft hyphen', 'a\u00ad'], ['a soft hyphen', '\u00ad']]) {
    try {
      console.log(`${name}, ${title}: ${JSON.stringify(prepare(text))}`)
    } catch (error) {
      console.log(`${name}, ${title}: ${error.name}`)
    }
  }
}
END
node prepare.cjs | tee seen
diff <(sed -n 's/^# > //p' "$script") seen && echo 'As it was.'
