"""Files that are there as a whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname
from tempfile import TemporaryFile

from recbole_genrec.errors import InputError


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary name beside `path` that takes its place once the block has succeeded.

    The file under `path` is thus either the old one or the complete new one, never half of it.
    """
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[str | os.PathLike]) -> Iterator[list[Path]]:
    """As `replacing`, for files that belong together: none takes its place if the block fails."""
    paths = [Path(path) for path in paths]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{gethostname()}.{os.getpid()}"
    names = [path.with_name(f".{path.name}.{writer}.tmp{path.suffix}") for path in paths]
    try:
        yield names
        for temporary, path in zip(names, paths, strict=True):
            os.replace(temporary, path)
    finally:
        for temporary in names:
            temporary.unlink(missing_ok=True)


def remove_unfinished(folder: str | os.PathLike) -> None:
    """Remove what killed processes of this machine were writing into `folder` by `replacing`."""
    for path in Path(folder).glob(f".*.{gethostname()}.*.tmp*"):
        process = path.name.removesuffix(path.suffix).removesuffix(".tmp").rpartition(".")[2]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)
        except (ValueError, PermissionError):  # not ours
            continue


def check_writable(key: str, folder: str | Path) -> None:
    """Make a folder and write into it, to know before long work whether that works.

    Args:
        key: the setting that names the folder.

    Raises:
        InputError: naming key and folder.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise InputError(
            f"{key} [{folder}] cannot be written to ({error.strerror}): "
            "make room or give permission there, or choose another folder"
        ) from error
