"""Loading the user's modules: by dotted name, file or folder. What they define registers itself.

Only what the operator named is imported, never anything that a payload names.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

from jobd.errors import ConfigError


def load(entries: Iterable[str], directory: Path) -> None:
    """Import each entry, with ``directory`` on ``sys.path``.

    Args:
        entries: ``package.module``, ``path/to/file.py``, or a folder: a package, or plain files.
        directory: relative paths start here.

    Raises:
        ConfigError: there is no such module, file or folder.
        Exception: whatever the module itself raises.
    """
    _put_on_path(directory)
    for entry in entries:
        path = directory / entry
        if entry.endswith(".py"):
            _load_file(path, entry)
        elif path.is_dir() and "." not in entry.strip("./"):
            _load_folder(path)
        else:
            _load_module(entry, directory)


def _put_on_path(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _load_module(name: str, directory: Path) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(f"{missing}."):
            raise  # the module is there, and imports something that is not
        raise ConfigError(
            [
                (
                    f'require: there is no module "{name}" in {directory} or installed beside '
                    "jobd; name the module that defines the jobs (require in the file, or -r)"
                )
            ]
        ) from None


def _load_file(path: Path, entry: str) -> None:
    if not path.is_file():
        raise ConfigError([f"require: there is no file {entry} (require in the file, or -r)"])
    name = path.stem
    if _is_loaded(name, path):
        return  # by another module of the app
    while name in sys.modules:
        name += "_"  # a queue.py of the app must not replace the library's for everybody else
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError([f"require: {entry} is not a Python file"])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # as import does, so that nobody meets half a module
        raise


def _is_loaded(name: str, path: Path) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and Path(file).resolve() == path.resolve()


def _load_folder(path: Path) -> None:
    if (path / "__init__.py").is_file():
        _put_on_path(path.parent)
        importlib.import_module(path.resolve().name)
        return
    _put_on_path(path)
    files = sorted(path.glob("*.py"))
    if not files:
        raise ConfigError([f"require: there is no Python file in {path}"])
    for file in files:
        _load_file(file, str(file))
