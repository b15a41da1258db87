#!/usr/bin/env bash
# SQLite in a forked process: a NEW connection, opened by the child for itself, has no locks.
#
# The rule that everybody knows is: do not use a connection of the parent in the child; open a
# new one there. That is what this does, and it is not enough if the parent had the same file
# open when it was forked. The child inherits SQLite's table of open files, which says that
# this process holds the lock already, so that the new connection takes none (POSIX locks are
# not inherited). When the parent closes the file, it is the last one as far as the system
# knows: it removes the log (-wal) under the child. The child's next commit succeeds and is gone.
#
# Seen with apsw 3.54.1.0 (SQLite 3.54.1); SQLite 3.40.1 takes no locks there either:
#   own connection, parent forked:  row after the child's end: lost
#   own connection, new process:    row after the child's end: kept
# Works: close all connections to the file before the fork, or start processes with "spawn".
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet "apsw==3.54.1.0"

cat > "$folder/child.py" <<'PYTHON'
import os, sys

import apsw


def child(path, opened, go_on):
    own = apsw.Connection(path)
    list(own.execute("SELECT * FROM t"))
    os.write(opened, b"1")
    os.read(go_on, 1)
    own.execute("INSERT INTO t VALUES ('of the child')")  # raises nothing
    os._exit(0)  # as if it was killed: nothing is closed


if __name__ == "__main__":
    child(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
PYTHON

cat > "$folder/parent.py" <<'PYTHON'
import os, subprocess, sys

import apsw
from child import child


def row_is_kept(path, start):
    parent = apsw.Connection(path)
    parent.execute("PRAGMA journal_mode = WAL")
    parent.execute("CREATE TABLE t (x)")
    opened, go_on = os.pipe(), os.pipe()
    process = start(path, opened[1], go_on[0])
    os.read(opened[0], 1)
    parent.close()
    os.write(go_on[1], b"1")
    os.waitpid(process, 0)
    look = "import apsw, sys; print(len(list(apsw.Connection(sys.argv[1]).execute('SELECT * FROM t'))))"
    return subprocess.run([sys.executable, "-c", look, path], capture_output=True).stdout == b"1\n"


def forked(path, opened, go_on):
    process = os.fork()
    if process == 0:
        child(path, opened, go_on)
    return process


def spawned(path, opened, go_on):
    command = [sys.executable, "child.py", path, str(opened), str(go_on)]
    return subprocess.Popen(command, pass_fds=(opened, go_on)).pid


kept = {start.__name__: row_is_kept(f"{start.__name__}.db", start) for start in (forked, spawned)}
print(apsw.sqlite_lib_version(), kept)
sys.exit(kept != {"forked": False, "spawned": True})
PYTHON

cd "$folder" && venv/bin/python parent.py
