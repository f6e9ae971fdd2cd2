"""Build the wheels of this repository once, and the constraints that keep pip from asking an index for them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from catalogue import Catalogue, Package

# What does not end up in a wheel, or is made by tools.
NOT_CONTENT = {
    "tests",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    "dist",
    "build",
}


class BuildError(Exception):
    """A distribution did not build; the message says which and why."""


def build(catalogue: Catalogue, output: Path | None = None) -> list[Package]:
    """Bring `dist/` up to date and return the packages that were built.

    Safe to run from several processes at once: the first one builds, the others find the result.

    Raises:
        BuildError: a distribution does not build.
    """
    dist = output or catalogue.root / "dist"
    dist.mkdir(exist_ok=True)
    with _locked(dist / ".lock"):
        present = [package for package in catalogue.packages if not package.missing()]
        digests = {package.dist: digest(package) for package in present}
        known = _read_digests(dist)
        stale = [
            package
            for package in present
            if known.get(package.dist) != digests[package.dist] or len(_wheels_of(package, dist)) != 1
        ]
        _remove_outdated(dist, keep=[package for package in present if package not in stale])
        _build_all(catalogue, stale, dist)
        for package in present:
            if len(_wheels_of(package, dist)) != 1:
                raise BuildError(f"{package.folder}: expected one wheel of {package.dist} in {dist}")
        # On every run: the addresses are absolute, and a checkout may have moved.
        _replace(dist / "constraints.txt", _constraints(catalogue, dist))
        # Last: a build that was interrupted is repeated, not believed.
        _replace(dist / "digests.json", json.dumps(digests, indent=1, sort_keys=True) + "\n")
    return stale


def digest(package: Package) -> str:
    """A hash of everything in the package's folder that can reach its wheel."""
    content = hashlib.sha256()
    for file in sorted(_content(package.path)):
        content.update(file.relative_to(package.path).as_posix().encode() + b"\0")
        content.update(hashlib.sha256(file.read_bytes()).digest())
    return content.hexdigest()


def _content(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name in NOT_CONTENT or entry.name.endswith((".pyc", ".egg-info")):
            continue
        if entry.is_dir():
            yield from _content(entry)
        else:
            yield entry


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_digests(dist: Path) -> dict[str, str]:
    try:
        digests = json.loads((dist / "digests.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return digests if isinstance(digests, dict) else {}


def _wheels_of(package: Package, dist: Path) -> list[Path]:
    return list(dist.glob(f"{package.wheel_name}-*.whl"))


def _remove_outdated(dist: Path, keep: Iterable[Package]) -> None:
    kept = {wheel for package in keep for wheel in _wheels_of(package, dist)}
    for wheel in dist.glob("*.whl"):
        if wheel not in kept:
            wheel.unlink()


def _build_all(catalogue: Catalogue, packages: list[Package], dist: Path) -> None:
    """One pip for each distribution, so that a failure names the folder; as many at once as there are processors."""
    if not packages:
        return
    print(f"building {', '.join(package.dist for package in packages)}", flush=True)
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        failures = [
            failure
            for failure in pool.map(lambda p: _build_one(catalogue.root, p, dist), packages)
            if failure
        ]
    if failures:
        raise BuildError("\n\n".join(failures))


def _build_one(root: Path, package: Package, dist: Path) -> str | None:
    # "./": without a slash pip takes `core` for the name of a project and asks the index for it.
    address = f"./{package.folder}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(dist),
        address,
    ]
    # A constraint of the environment around us would also bind the isolated build environment.
    environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    result = subprocess.run(
        command,
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode == 0:
        return None
    return f"{package.folder}: {package.dist} does not build\n{result.stdout}{result.stderr}"


def _constraints(catalogue: Catalogue, dist: Path) -> str:
    lines = []
    for package in catalogue.packages:
        wheels = _wheels_of(package, dist)
        # A distribution without a wheel keeps its line: pip then says that the file is missing. Without the line it
        # would ask an index for the name.
        wheel = (
            wheels[0]
            if wheels
            else dist / f"{package.wheel_name}-{catalogue.common.version}-py3-none-any.whl"
        )
        lines.append(f"{package.dist} @ {wheel.resolve().as_uri()}\n")
    return "".join(lines)


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
