"""The forks of pyrogram, each installed once into a folder of its own outside the checkout.

All but hydrogram bear pyrogram's import name, so none can be installed beside it.
Where their folder comes first on the path, they are found instead.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.grammy.install import rename_unless_there

ROOT = Path(__file__).parents[2]
SECONDS_TO_INSTALL = 300
SECONDS_TO_TEST = 300


class InstallError(Exception):
    """Raised if pip cannot install a fork: no index, or no such version."""


@dataclass(frozen=True)
class Fork:
    """One fork, and the name that it is imported by."""

    name: str
    version: str
    package: str = "pyrogram"

    def install(self) -> Path:
        """Return the folder that it is in; installed if it is not yet there.

        Safe to call at the same time from many processes: see ``tests.grammy.install``.

        Raises:
            InstallError: pip failed; the text is what pip said.
        """
        home = self._home()
        if not home.exists():
            staging = Path(tempfile.mkdtemp(prefix=f"sessionkit-{self.name}-"))
            try:
                self._pip_install(staging)
                rename_unless_there(staging, home)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        return home

    def run_tests(self, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run tests in an interpreter that finds the fork in *home*."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(home),
            "SESSIONKIT_PYROGRAM": self.package,
            "SESSIONKIT_PYROGRAM_HOME": str(home),
        }
        options = ["-q", "-p", "no:cacheprovider", "--numprocesses=0"]
        command = [sys.executable, "-m", "pytest", *options, *arguments]
        return _run(command, environment, SECONDS_TO_TEST)

    def _home(self) -> Path:
        user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
        python = f"{sys.implementation.cache_tag}"
        name = f"sessionkit-{self.name}-{self.version}-{user}-{python}"
        return Path(tempfile.gettempdir(), name)

    def _pip_install(self, folder: Path) -> None:
        options = ["--quiet", "--no-input", "--disable-pip-version-check", "--target", str(folder)]
        wanted = f"{self.name}=={self.version}"
        command = [sys.executable, "-m", "pip", "install", *options, wanted]
        done = _run(command, {**os.environ}, SECONDS_TO_INSTALL)
        if done.returncode:
            raise InstallError(f"pip could not install {wanted}:\n{done.stderr.strip()}")


FORKS = (
    Fork("kurigram", "2.2.26"),
    Fork("pyrofork", "2.3.69"),
    Fork("pyrotgfork", "2.2.24.1"),
    Fork("hydrogram", "0.2.0", package="hydrogram"),
)


def _run(
    command: Sequence[str], environment: dict[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
