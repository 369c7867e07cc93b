"""Files that are there as a whole or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import gethostname
from tempfile import TemporaryDirectory, TemporaryFile

from recbole_genrec.errors import InputError, RunError

LONGEST = 1_000_000  # letters of a file of settings

# What a disk answers that has no room or gives no permission, and a path that cannot be a file.
_REFUSALS = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP),
}


@contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Yields a temporary name beside `path` that takes its place once the block has succeeded.

    The file under `path` is thus either the old one or the complete new one, never half of it,
    also after a power failure. A link is followed; what is no regular file, such as a pipe or
    `/dev/stdout`, stays what it is and is written into.

    Raises:
        RunError: naming `path`, when the disk does not take it.
    """
    with replacing_all([path]) as (temporary,):
        yield temporary


@contextmanager
def replacing_all(paths: Sequence[str | os.PathLike]) -> Iterator[list[Path]]:
    """As `replacing`, for files that belong together: none takes its place if the block fails."""
    targets = [Path(os.path.realpath(path)) for path in paths]
    writer = f"{gethostname()}.{os.getpid()}"
    with written(" and ".join(map(str, paths))), ExitStack() as stack:
        names = []
        for path in targets:
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            path.parent.mkdir(parents=True, exist_ok=True)
            special = path.exists() and not path.is_file()
            folder = Path(stack.enter_context(TemporaryDirectory())) if special else path.parent
            names.append(folder / f".{path.name}.{writer}.tmp{path.suffix}")
            stack.callback(names[-1].unlink, missing_ok=True)
        yield names
        for temporary, path in zip(names, targets, strict=True):
            if temporary.parent == path.parent:
                _sync(temporary)
                os.replace(temporary, path)
            else:
                with open(temporary, "rb") as source, open(path, "wb") as device:
                    shutil.copyfileobj(source, device)
        for folder in {path.parent for path in targets}:
            _sync(folder)


@contextmanager
def written(path: str | os.PathLike) -> Iterator[None]:
    """What the disk refuses in the block comes out as one line that names `path`.

    Raises:
        RunError: in place of an OSError for want of room or permission.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__  # torch has its own way
        if not isinstance(cause, OSError) or cause.errno not in _REFUSALS:
            raise
        raise RunError(
            f"[{path}] could not be written: {cause.strerror}. What was there before is still "
            "there; make room or give permission, or choose another place"
        ) from error


def _sync(path: Path) -> None:
    """Have the disk hold a file or the entries of a folder, not only its cache."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):  # folders, on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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


def read_short(what: str, file: str | os.PathLike, hint: str = "") -> str:
    """The text of a file of settings, which nobody writes longer than `LONGEST`.

    Args:
        what: the file is, for messages.
        hint: why it may not be found.

    Raises:
        InputError: when it cannot be read, is no text, or has no end, as some devices have none.
    """
    try:
        with open(file, encoding="utf-8") as opened:
            text = opened.read(LONGEST + 1)
    except OSError as error:
        raise InputError(f"{what} [{file}] cannot be read: {error.strerror}{hint}") from error
    except ValueError as error:  # of bytes that are no text, or a name with a NUL
        raise InputError(f"{what} [{file}] cannot be read as text: {error}") from error
    if len(text) > LONGEST:
        raise InputError(f"{what} [{file}] should be text of at most {LONGEST:,} letters")
    return text


def is_file_name(name: str) -> bool:
    """Whether `name` can be a file or folder in any folder, and never leaves it."""
    return name not in ("", ".", "..") and not any(
        character in "/\\" or not character.isprintable() for character in name
    )


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
    except (OSError, ValueError) as error:  # the latter for a NUL in the name
        raise InputError(
            f"{key} [{folder}] cannot be written to ({getattr(error, 'strerror', error)}): "
            "make room or give permission there, or choose another folder"
        ) from error
