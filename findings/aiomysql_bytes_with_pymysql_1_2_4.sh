#!/usr/bin/env bash
# aiomysql 0.3.2 with PyMySQL 1.2.4: no bytes can be a parameter of a statement.
#
# aiomysql imports escape_bytes_prefixed from PyMySQL, which became a string there, with a warning
# not to import it.  Importing works; the first statement with bytes among its parameters raises
# TypeError.  (With 1.2.1 and 1.2.2 aiomysql cannot be imported at all.)  aiomysql asks for
# "PyMySQL>=1.0", so pip brings the two together.  No server is needed to see it: statements are
# put together on the client.
#
# Seen: "PyMySQL 1.2.0 _binary'x'", "PyMySQL 1.2.4 TypeError: 'str' object is not callable".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 1.2.0 1.2.4; do
  "$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
    "aiomysql==0.3.2" "PyMySQL==$version"
  "$folder/venv/bin/python" - "$version" <<'PYTHON'
import sys

import aiomysql

try:
    shown = aiomysql.Connection().escape(b"x")
except TypeError as error:
    shown = f"TypeError: {error}"
print("PyMySQL", sys.argv[1], shown)
expected = {"1.2.0": "_binary'x'", "1.2.4": "TypeError: 'str' object is not callable"}
raise SystemExit(shown != expected[sys.argv[1]])
PYTHON
done
