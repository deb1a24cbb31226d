"""Find the problem class that the user named, in a file or in a module, and take the digest of its source.

This module must not know parameters, nor print.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from parry_mpi.errors import ParryError, ProblemError, UsageError
from parry_mpi.problem import SEARCH_TYPES, Problem
from parry_mpi.store.identity import digest
from parry_mpi.task import OUR_FOLDER, problem_error

INSTALLED = {"site-packages", "dist-packages", "__pypackages__"}
"""Folders of other people's code: a version of theirs is not a version of the problem."""

MODULE_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
A_PROBLEM = f"a subclass of {' or '.join(each.__name__ for each in SEARCH_TYPES)}, of parry_mpi"
CLASS_NAME = re.compile(r"[^\W\d]\w*")


class Loaded(msgspec.Struct, frozen=True):
    """A problem class as found.

    Args:
        problem_class: the class.
        name: "module:Class", the same whether it was named as a file or as a module.
        source_digest: digest of the source it was defined in, and of what that imported from its own folder.
    """

    problem_class: type[Problem[Any, Any]]
    name: str
    source_digest: str


def load(where: str) -> Loaded:
    """Load what the user named as FILE.py[:Class] or module[:Class].

    Raises:
        UsageError: there is no such file, module or class, or it is not clear which class is meant.
        ProblemError: the user's source raised while it was imported.
    """
    source, class_name = _parted(where)
    if source.endswith(".py") or "/" in source:
        module, stem = _load_file(source)
    else:
        module, stem = _load_module(source)
    problem_class = _choose(module, source, class_name)
    return Loaded(problem_class, f"{stem}:{problem_class.__name__}", _source_digest(module))


def absolute(where: str) -> str:
    """Return a name under which the same problem is found from any folder, as far as it is in a file."""
    source, class_name = _parted(where)
    if not (source.endswith(".py") or "/" in source):
        return where
    return f"{Path(source).resolve()}{':' if class_name else ''}{class_name}"


def _parted(where: str) -> tuple[str, str]:
    """Divide FILE.py:Class; a colon inside the path is part of the path."""
    source, colon, class_name = where.rpartition(":")
    if not colon or "/" in class_name or class_name.endswith(".py"):
        return where, ""
    if not CLASS_NAME.fullmatch(class_name):
        raise UsageError(f"{where}: what follows the colon is not the name of a class; write FILE.py:Class or module:Class")
    return source, class_name


def _load_file(source: str) -> tuple[ModuleType, str]:
    path = Path(source)
    if path.is_dir():
        raise UsageError(f"{source} is a folder; name a file of it")
    if not path.exists():
        raise UsageError(f"there is no file {source}")
    if path.suffix != ".py":
        raise UsageError(f"{source} is not a Python file; a problem is named as FILE.py[:Class] or module[:Class]")
    path = path.resolve()
    name = path.stem.replace(".", "_")
    while name in sys.modules or name in sys.stdlib_module_names:
        name += "_"  # a problem may be called random.py: the module of that name stays what it is for everybody else
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where type hints are looked up, and helpers that import it back find it
    try:
        with _importing(source, path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module, path.stem


def _load_module(source: str) -> tuple[ModuleType, str]:
    if not MODULE_NAME.fullmatch(source):
        raise UsageError(f"{source} is neither a Python file nor the name of a module; write FILE.py[:Class] or module[:Class]")
    with _importing(source, Path.cwd()):
        try:
            return importlib.import_module(source), source.rpartition(".")[2]
        except ModuleNotFoundError as error:
            if error.name and f"{source}.".startswith(f"{error.name}."):
                raise UsageError(f"there is no module {source}") from None
            raise


@contextlib.contextmanager
def _importing(source: str, folder: Path) -> Iterator[None]:
    """Import with a folder first on the path, as Python does for a script, and say whose fault an exception is.

    Afterwards the folder stays on the path, last: what the problem imports later is still found, and nothing that we import
    later is taken from there.
    """
    text = str(folder)
    sys.path.insert(0, text)
    try:
        yield
    except ParryError:
        raise
    except (Exception, SystemExit) as error:  # whatever it is: the source is the user's
        raise _import_error(source, error) from error
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(text)
        if text not in sys.path:
            sys.path.append(text)


def _import_error(source: str, error: BaseException) -> ProblemError:
    """Describe an exception of the user's source, without the frames of whoever imported it."""
    first = error.__traceback__
    while first is not None and _is_importer(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    if isinstance(error, OSError) and first is None:
        raise UsageError(f"{source} cannot be read ({error.strerror or error})") from None
    described = problem_error(error.with_traceback(first))
    return ProblemError(f"{source} cannot be imported: {described}", details=described.details)


def _is_importer(filename: str) -> bool:
    return filename.startswith(("<frozen importlib", OUR_FOLDER)) or "/importlib/" in filename


def _choose(module: ModuleType, source: str, class_name: str) -> type[Problem[Any, Any]]:
    """Return the class that was named, or the only one that is there."""
    found = _problem_classes(module)
    if class_name:
        chosen = getattr(module, class_name, None)
        if chosen is None:
            raise UsageError(f"{source} has no class {class_name}; {_listed(found)}")
        if not _is_problem(chosen):
            raise UsageError(f"{class_name} in {source} is not a problem ({A_PROBLEM}); {_listed(found)}")
        return chosen  # type: ignore[no-any-return]
    if not found:
        raise UsageError(f"{source} has no problem in it: no class that is {A_PROBLEM}")
    if len(found) > 1:
        raise UsageError(
            f"{source} has several problems in it; name one of them: {', '.join(f'{source}:{name}' for name in found)}"
        )
    return next(iter(found.values()))


def _listed(found: dict[str, type[Any]]) -> str:
    return f"it has {', '.join(found)}" if found else "it has no problem in it"


def _problem_classes(module: ModuleType) -> dict[str, type[Any]]:
    """The problems that a module defines or, if it defines none, those that it imported."""
    found = {name: value for name, value in vars(module).items() if _is_problem(value) and not name.startswith("_")}
    own = {name: value for name, value in found.items() if value.__module__ == module.__name__ and value.__name__ == name}
    return own or found


def _is_problem(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Problem) and value not in {Problem, *SEARCH_TYPES}


def _source_digest(module: ModuleType) -> str:
    """Digest the module's file and those of the modules beside it that are loaded now, each with its path below the folder."""
    file = _source_file(module)
    if file is None:
        return digest()
    folder, alone = _own_folder(module, file)
    files = {file}
    if not alone:
        # __main__ is whoever started us, wherever that is kept.
        others = [_source_file(other) for name, other in list(sys.modules.items()) if name != "__main__"]
        files |= {other for other in others if other and _belongs(other, folder)}
    parts: list[bytes] = []
    for path in sorted(files):
        with contextlib.suppress(OSError):
            parts += [path.relative_to(folder).as_posix().encode(), path.read_bytes()]
    return digest(*parts)


def _own_folder(module: ModuleType, file: Path) -> tuple[Path, bool]:
    """The folder that a problem is at home in, and whether what else is in there is other people's."""
    top = sys.modules.get(module.__name__.partition(".")[0])
    package = _source_file(top) if top is not None and hasattr(top, "__path__") else None
    if package is not None:
        return package.parent, False
    return file.parent, bool(INSTALLED & set(file.parent.parts))


def _belongs(file: Path, folder: Path) -> bool:
    """Whether a file is part of the problem at home in a folder: a virtual environment in that folder is not, nor are we."""
    return (
        file.is_relative_to(folder)
        and not str(file).startswith(OUR_FOLDER)
        and not INSTALLED & set(file.relative_to(folder).parts)
    )


def _source_file(module: ModuleType | None) -> Path | None:
    name = getattr(module, "__file__", None)
    return Path(name) if isinstance(name, str) and name.endswith(".py") else None
