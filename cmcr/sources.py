"""Which source files a command's result depends on, so that an edit re-runs what it must and nothing else."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cmcr", "baselines")


def sources_of(*paths: Path) -> list[Path]:
    """Return ``paths`` and the files of this project that they import, directly or not, sorted.

    Imports are read off the source text, so those inside functions count and nothing is executed. A module imported by
    a name that is made at run time is not seen and has to be among ``paths``.
    """
    found = {path.resolve() for path in paths}
    waiting = list(found)
    while waiting:
        new = _imports(waiting.pop()) - found
        found |= new
        waiting += new
    return sorted(found)


def code_digest(*paths: Path) -> str:
    """Return a digest of what `sources_of` finds, blind to comments, docstrings, layout and the checkout's place."""
    digest = hashlib.sha256()
    for path in sources_of(*paths):
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        digest.update(f"{name}\n{_meaning(path)}\n".encode())
    return digest.hexdigest()


@cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _imports(path: Path) -> frozenset[Path]:
    return frozenset(file for name in _imported_names(_parse(path)) for file in _files(name))


def _imported_names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)  # it may be a module


def _files(name: str) -> Iterator[Path]:
    """Yield the files that importing ``name`` executes: the module and the packages around it."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return
    for depth in range(1, len(parts) + 1):
        base = ROOT.joinpath(*parts[:depth])
        for file in (base / "__init__.py", base.with_suffix(".py")):
            if file.is_file():
                yield file


@cache
def _meaning(path: Path) -> str:
    return "\n".join(_without_strings(_parse(path).body))


def _without_strings(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the dump of each statement, leaving out those that are a mere string, at every depth."""
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                node.body = [s for s in node.body if not _is_string(s)] or [ast.Pass()]
        yield ast.dump(statement)


def _is_string(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
