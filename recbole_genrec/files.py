"""Files that are there as a whole or not at all."""

import os
from collections.abc import Iterator
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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{gethostname()}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
