"""The life of a session in one update: from the lock to the write."""
