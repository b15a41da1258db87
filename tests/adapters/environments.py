"""New virtual environments, as somebody makes who tries sessionkit out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 300
OPTIONS = ("--only-binary=:all:", "--no-compile", "--disable-pip-version-check")


class InstallError(Exception):
    """Raised if pip cannot install what is wanted: no index, or no such version."""


def new_environment(folder: Path, *wanted: str) -> Path:
    """Return the interpreter of a new environment in *folder*, which has just *wanted*.

    Only wheels are taken, except of a checkout: nothing is compiled.

    Raises:
        InstallError: pip failed; the text is what pip said.
    """
    venv = (sys.executable, "-m", "venv", "--without-pip", folder)
    subprocess.run(venv, check=True, timeout=SECONDS)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = ("-m", "pip", "--python", python)
    done = run_in(folder, Path(sys.executable), *pip, "install", *OPTIONS, *wanted)
    if done.returncode != 0:
        msg = f"pip could not install {' '.join(wanted)}:\n{done.stdout}"
        raise InstallError(msg)
    return python


def run_in(folder: Path, python: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in *folder*, with no path to the checkout; stdout has all of its output."""
    environment = {name: os.environ[name] for name in os.environ if "PYTHON" not in name}
    return subprocess.run(
        [python, *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
