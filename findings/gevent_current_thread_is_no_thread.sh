#!/usr/bin/env bash
# gevent 26.9.0: in a greenlet, threading.current_thread() is not an instance of threading.Thread.
#
# monkey.patch_all() puts gevent.threading.Thread in the place of threading.Thread.  What
# current_thread() gives in a greenlet (and in the main thread) derives from the class that
# was there before: its bases are printed as threading._DummyThread and threading.Thread, and
# isinstance() with the Thread that a program imports is False.  Code that tells a thread
# from a task of asyncio by isinstance(owner, Thread) takes a greenlet for a task.
#
# Seen: "greenlet: _DummyThread False", "bases: _DummyThread _DummyThread Thread object".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q --disable-pip-version-check "gevent==26.9.0"
"$folder/venv/bin/python" - <<'PYTHON'
from gevent import monkey

monkey.patch_all()

import threading

import gevent


def look():
    kind = type(threading.current_thread())
    return kind, isinstance(threading.current_thread(), threading.Thread)


kind, is_thread = gevent.spawn(look).get()
print(f"greenlet: {kind.__name__} {is_thread}")
print("bases:", *(base.__name__ for base in kind.__mro__))
assert not is_thread
assert "Thread" in [base.__name__ for base in kind.__mro__]
PYTHON
