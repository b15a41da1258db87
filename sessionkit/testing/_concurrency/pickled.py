"""A user's factory on its way to another process."""

from __future__ import annotations

import importlib
import importlib.util
import io
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sessionkit.testing._factory import Factory, open_storage, wishes_of
from sessionkit.testing._needs import LeftOut
from sessionkit.testing._subject import Subject
from sessionkit.testing.clock import FakeClock

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

_MAIN: Final = "__main__"
_IMPORTED_MAIN: Final = "__sessionkit_main__"


class PickledFactory(NamedTuple):
    """What another process needs to open the same storages.

    Attributes:
        factory: The factory, pickled.
        files: Where modules are that may not be found by name there.
        folder: The folder of the test.
    """

    factory: bytes
    files: Mapping[str, str]
    folder: str


class Elsewhere:
    """In another process, replaces what a ``StorageSuite`` takes from the kit."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        self.folder = folder
        self.clock = clock
        self.uses_clock = True


def pickled_factory(subject: Subject) -> PickledFactory:
    """Return what another process needs to open the storages of *subject*.

    Raises:
        LeftOut: The factory cannot be named there.
    """
    file = io.BytesIO()
    try:
        _Pickler(file, subject).dump(subject.factory)
    except Exception as error:
        msg = (
            f"open() cannot be found by name in another process ({error}): make it a function "
            "at the top of a module, or a method of a suite at the top of a module"
        )
        raise LeftOut(msg) from error
    return PickledFactory(file.getvalue(), _files(subject.factory), str(subject.folder))


def _files(factory: Any) -> dict[str, str]:
    owner = getattr(factory, "__self__", None)
    names: set[str] = {getattr(each, "__module__", _MAIN) for each in (factory, owner)}
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    return {name: str(Path(file).absolute()) for name, file in files.items() if file}


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, subject: Subject) -> None:
        super().__init__(file)
        self._subject = subject

    def persistent_id(self, obj: Any) -> Any:
        if obj is self._subject:
            return "subject"
        return "clock" if obj is self._subject.clock else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, pickled: PickledFactory, here: Elsewhere) -> None:
        super().__init__(io.BytesIO(pickled.factory))
        self._files = pickled.files
        self._here = here

    def persistent_load(self, pid: Any) -> Any:
        return self._here if pid == "subject" else self._here.clock

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        file = self._files.get(module_name)
        if module_name == _MAIN and file is not None:
            # "if __name__ == '__main__'" must not hold here
            sys.modules[_MAIN] = _load(_IMPORTED_MAIN, file)
        elif file is not None and not _can_be_found(module_name):
            _load(module_name, file)
        return super().find_class(module_name, global_name)


def _can_be_found(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def _load(name: str, file: str) -> Any:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Opener:
    """Opens storages by a pickled factory, in another process."""

    def __init__(self, pickled: PickledFactory) -> None:
        self._clock = FakeClock()
        folder = Path(pickled.folder)
        self._factory: Factory = _Unpickler(pickled, Elsewhere(folder, self._clock)).load()
        given: dict[str, Any] = {"clock": self._clock, "folder": folder}
        wishes = wishes_of(self._factory)
        self._wishes = {name: given[wish] for name, wish in wishes.items()}

    async def open(self, namespace: str, now: float, stack: AsyncExitStack) -> Any:
        """Return the storage of *namespace*; *stack* closes it.

        *now* is the time of the kit's clock, for as long as it is open.
        """
        self._clock.advance(now - self._clock())
        return await open_storage(self._factory, namespace, self._wishes, stack)
