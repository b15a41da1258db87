"""One session at a time holds a key: lock tables, and who holds what where."""
