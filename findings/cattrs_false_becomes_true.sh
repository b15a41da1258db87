#!/usr/bin/env bash
# cattrs 26.2.1: of a dict[bool, int], True and False come back from JSON as one entry, True.
#
# cattrs has a converter for each format, which knows what its format cannot hold and writes it so that
# it can be read again.  Keys of a dict become texts in JSON, "true" and "false" (orjson, bson: "True"
# and "False").  Read again, a key is made of its text by bool(), and every text that is not empty is
# true.  A poll that had 12 votes for and 3 against has 3 for.  YAML and CBOR keep it; msgspec's
# converter and msgpack's refuse it.
#
# Seen: "json, orjson, ujson, bson: {True: 3}", "pyyaml, cbor2: {True: 12, False: 3}".
# Works: converter.register_structure_hook(bool, lambda value, _: value in (True, "true")).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "cattrs==26.2.1" "orjson==3.13.0" "ujson==6.1.0" "pymongo==4.20.1" "PyYAML==6.0.4" "cbor2==6.3.0"
"$folder/venv/bin/python" - <<'PYTHON'
from importlib import import_module

from attrs import define

VOTES = {True: 12, False: 3}


@define
class Poll:
    votes: dict[bool, int]


def made_by(name):
    return import_module(f"cattrs.preconf.{name}").make_converter()


def came_back(converter):
    return converter.loads(converter.dumps(Poll(VOTES)), Poll).votes


for name in ("json", "orjson", "ujson", "bson", "pyyaml", "cbor2"):
    found = came_back(made_by(name))
    print(f"{name}: {found}")
    assert found == (VOTES if name in ("pyyaml", "cbor2") else {True: 3})

converter = made_by("json")
converter.register_structure_hook(bool, lambda value, _: value in (True, "true"))
assert came_back(converter) == VOTES
PYTHON
