"""Session data for chat bots that survives the update, the crash and the restart."""

__version__ = "0.1.0"
