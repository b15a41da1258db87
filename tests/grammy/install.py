"""Real grammY, installed once per version into a folder outside the checkout."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MANIFEST = HERE / "package.json"
SECONDS_TO_INSTALL = 300


class InstallError(Exception):
    """Raised if npm cannot install grammY: no network, or no such version."""


def available() -> bool:
    """Return whether node and npm are on this machine."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def install() -> Path:
    """Return the folder with grammY's ``node_modules``; installed if it is not yet there.

    Safe to call at the same time from many processes: each installs into a
    folder of its own, and the first to rename it wins.

    Raises:
        InstallError: npm failed; the text is what npm said.
    """
    home = _home()
    if not home.exists():
        staging = Path(tempfile.mkdtemp(prefix="sessionkit-grammy-"))
        try:
            npm_install(staging)
            rename_unless_there(staging, home)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return home


def skip_module_unless_available() -> None:
    """Skip the test module that calls this at its top level, as one, without node and npm."""
    if not available():
        pytest.skip("real grammY needs node and npm", allow_module_level=True)


def skip_unless_available() -> None:
    """Skip the test that calls this, without node and npm."""
    if not available():
        pytest.skip("real grammY needs node and npm")


def install_or_skip() -> Path:
    """Return what ``install`` does; skip the test if npm cannot get grammY."""
    try:
        return install()
    except InstallError as error:
        pytest.skip(str(error))


def _home() -> Path:
    digest = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()[:16]
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()
    return Path(tempfile.gettempdir(), f"sessionkit-grammy-{user}-{digest}")


def rename_unless_there(staging: Path, home: Path) -> None:
    """Rename *staging* to *home*; a no-op if somebody else's *home* is there already."""
    try:
        staging.rename(home)
    except OSError:
        if not home.exists():
            raise


def npm_install(folder: Path) -> None:
    """Install what the manifest names into *folder*."""
    shutil.copy(MANIFEST, folder)
    npm = shutil.which("npm") or "npm"
    options = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    try:
        subprocess.run(
            [npm, "install", *options, "--loglevel=error"],
            cwd=folder,
            capture_output=True,
            timeout=SECONDS_TO_INSTALL,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        said: bytes = getattr(error, "stderr", None) or b""
        msg = f"npm could not install grammY: {error}\n{said.decode(errors='replace').strip()}"
        raise InstallError(msg) from error
