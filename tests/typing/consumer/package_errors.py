"""What type checkers must refuse; silence here would mean that the types are lost."""

from sessionkit.errors import SessionError

SessionError()  # expect: mypy,pyright
SessionError("no such chat", 424242)  # expect: mypy,pyright
print(SessionError("no such chat").keys)  # expect: mypy,pyright
