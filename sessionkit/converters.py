"""For authors of converters: how data of a library's own types is stored.

A converter for one session is an object with ``encode`` and ``decode``, given as
``session(converter=...)``.  For a whole library, an entry point in the group
``sessionkit.types`` is found by itself: its name is an attribute that all classes of
the library have, and it loads a function of such a type that returns a
``RecordType``, a converter, or None if it is not one of its own after all.
It raises TypeError for a type whose data would not come back as it was.

- A ``RecordType`` describes a class that has fields: everything else is done as for
  dataclasses, at the same speed.
- A ``Converter`` does all of it itself.  If it also has ``objects(data)``, an iterable
  of ``StoredObject``, then stored fields that a class does not know are kept and
  written back with their object.  It reports where something is wrong by raising
  ``Misfit(reason, path)``.  Two more methods save time, where there is a faster way:
  ``read(plain)`` returns data, and whether ``encode`` would give *plain* for it;
  ``verify(data, plain)`` raises ``Misfit`` unless *plain* comes back as *data*.

See docs/types.md.
"""

from sessionkit._data.given import StoredObject
from sessionkit._data.plain import Misfit
from sessionkit._data.record_types import RecordField, RecordType
from sessionkit.protocols import Converter

__all__ = ["Converter", "Misfit", "RecordField", "RecordType", "StoredObject"]
