"""Finding methods: every file of a plug-in folder with a `PretrainMethod` in it is a method, nothing to register."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType

from cmcr.errors import PluginError
from cmcr.options import Options
from cmcr.pretrain.method import PretrainMethod, Setting, Source
from cmcr.reading import read_bytes, read_text

#: Where the methods of this repository are.
BASELINES = Path(__file__).resolve().parents[2] / "baselines"

#: What a plug-in's class must have, and of which kind.
_ATTRIBUTES: dict[str, type] = {"label": str, "source": Source, "Options": Options, "backbones": tuple}


def find_plugins(folders: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the file of each method id: those of ``baselines/``, then those of ``folders``. Nothing is imported."""
    found: dict[str, Path] = {}
    for folder in (BASELINES, *folders):
        if not folder.is_dir():
            raise PluginError(f"{folder}: no such folder (config key plugin_dirs)")
        for path in sorted(folder.glob("*.py")):
            if path.stem.startswith("_") or not _defines_method(path):
                continue
            if path.stem in found:
                raise PluginError(
                    f"{path}: the method id {path.stem!r} is taken already by {found[path.stem]}\n"
                    "  way out:  rename one of them, file and id, or take its folder out of plugin_dirs"
                )
            found[path.stem] = path
    return found


def _defines_method(path: Path) -> bool:
    """Whether a class in the file names a base class. A file that does not parse is kept: it fails when asked for."""
    try:
        tree = ast.parse(read_text(path))
    except (SyntaxError, OSError, ValueError, RecursionError, MemoryError):
        return True
    return any(isinstance(node, ast.ClassDef) and node.bases for node in tree.body)


def plugin_file(method_id: str, plugins: Mapping[str, Path]) -> Path:
    """Return the file of a method among those that `find_plugins` found.

    Raises:
        PluginError: there is none of that id.
    """
    if method_id not in plugins:
        near = difflib.get_close_matches(method_id, plugins, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise PluginError(f"there is no method {method_id!r}{hint} (found: {', '.join(plugins)})")
    return plugins[method_id]


def load_plugin(method_id: str, folders: Sequence[Path] = ()) -> type[PretrainMethod]:
    """Import one method.

    Raises:
        PluginError: there is none of that id, its file fails (named with its line), or it breaks the contract.
    """
    return load_plugin_file(plugin_file(method_id, find_plugins(folders)))


def load_plugin_file(path: Path) -> type[PretrainMethod]:
    """Import the method of one file; see `load_plugin`."""
    try:
        module = _import(path)
    except PluginError:
        raise
    except SyntaxError as error:
        raise PluginError(f"{path}:{error.lineno or 1}: the plug-in does not parse: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise _failed(path, error) from error
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, PretrainMethod) and value.__module__ == module.__name__
    ]
    named = [cls for cls in classes if vars(cls).get("id") == path.stem]
    if len(named) != 1:
        ids = [vars(cls).get("id") for cls in classes]
        raise PluginError(
            f"{path}: expected exactly one subclass of PretrainMethod with id = {path.stem!r} (the file's name), "
            f"found {ids or 'none'}"
        )
    for attribute, kind in _ATTRIBUTES.items():
        if not hasattr(named[0], attribute):
            raise PluginError(f"{path}: {named[0].__name__} lacks the class attribute {attribute!r}")
        found = getattr(named[0], attribute)
        if not (issubclass(found, kind) if isinstance(found, type) else isinstance(found, kind)):
            where = f"{path}:{inspect.getsourcelines(named[0])[1]}: {named[0].__name__}.{attribute}"
            raise PluginError(f"{where}\n  expected: {kind.__name__}\n  found:    {found!r}")
    return named[0]


def reason_against(method: type[PretrainMethod], setting: Setting) -> str | None:
    """Ask a method why it does not apply to a run; None if it does.

    Raises:
        PluginError: the method fails to answer.
    """
    try:
        return method.why_not(setting)
    except Exception as error:
        raise _failed(Path(inspect.getfile(method)), error) from error


def _failed(path: Path, error: BaseException) -> PluginError:
    """Foreign code: whatever it raises must name the file, not end in a trace."""
    # The plug-in's own last line: what failed may lie deep in a library that it called.
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return PluginError(f"{path}:{lines[-1] if lines else 1}: the plug-in fails: {error!r}")


def _import(path: Path) -> ModuleType:
    if path.resolve().parent == BASELINES:
        # Under the name by which other methods build on it: as two modules of one file it would be two classes.
        return importlib.import_module(f"{BASELINES.name}.{path.stem}")
    name = f"cmcr_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path}: not a Python file")
    code = _compile(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(code, module.__dict__)
    return module


def _compile(path: Path) -> CodeType:
    try:
        return compile(read_bytes(path), path, "exec", dont_inherit=True)
    except ValueError as error:  # a zero byte; from Python 3.11.4 on a SyntaxError
        problem = str(error)
    except (MemoryError, RecursionError):  # how Python's parser says it; of memory there is enough
        problem = "nested too deeply"
    raise PluginError(f"{path}:1: the plug-in does not parse: {problem}")
