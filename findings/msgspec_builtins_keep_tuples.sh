#!/usr/bin/env bash
# msgspec 0.23.0: to_builtins() is not what its JSON would be: sets become lists, tuples stay tuples.
#
# "Convert a complex object to one composed only of simpler builtin types": with str_keys=True the
# result is meant for JSON, set and frozenset become list, datetime becomes str.  A tuple stays a
# tuple at every level, so what is compared with what json.loads gives back is never equal, and the
# data looks changed each time it is read.  msgspec.json.decode(msgspec.json.encode(x)) has lists.
#
# Seen: "{'pair': (1, 'a'), 'unique': [1]} False" and "{'pair': [1, 'a'], 'unique': [1]} True".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "msgspec==0.23.0"
"$folder/venv/bin/python" - <<'PYTHON'
import json

import msgspec


class Data(msgspec.Struct):
    pair: tuple[int, str]
    unique: set[int]


data = Data((1, "a"), {1})
builtins = msgspec.to_builtins(data, str_keys=True)
by_json = msgspec.json.decode(msgspec.json.encode(data))
for plain in (builtins, by_json):
    print(plain, json.loads(json.dumps(plain)) == plain)
assert builtins == {"pair": (1, "a"), "unique": [1]}
assert by_json == {"pair": [1, "a"], "unique": [1]}
PYTHON
