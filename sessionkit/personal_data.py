"""A user asks for their data, or for its erasure: ``export_user`` and ``forget_user``.

    async for key, data in export_user([carts, prefs], 3):
        ...
    erased = await forget_user([carts, prefs], 3, erase=leave_the_group)

On the command line that is ``sessionkit export --user`` and ``sessionkit forget``.
"""

from sessionkit._api.personal import Erase, Erased, PersonalSource, export_user, forget_user

__all__ = ["Erase", "Erased", "PersonalSource", "export_user", "forget_user"]
