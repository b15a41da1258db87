"""``python -m sessionkit demo``: ``pizza`` is the bot, ``terminal`` lets people talk to it."""
