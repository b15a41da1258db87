"""Timeouts and migrations over any storage: what ``enhance_storage`` is made of."""
