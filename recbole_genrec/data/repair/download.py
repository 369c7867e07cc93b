"""Fetching the data sets for which RecBole knows an address."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from zipfile import BadZipFile

from recbole.utils.url import decide_download, download_url, extract_zip, rename_atomic_files

from recbole_genrec.errors import InputError

PATIENCE = 15.0  # seconds without an answer after which a host counts as out of reach


def download(url: str, folder: Path, name: str) -> None:
    """Fetch a data set into a folder beside its place, which it takes only when complete.

    Raises:
        InputError: naming the folder and the address, when that cannot be reached or read.
    """
    try:
        _check_reachable(url)
        with _patience():
            _download(url, folder, name)
    except (OSError, BadZipFile) as error:
        raise InputError(
            f"there is no folder {folder}, and the download of [{url}] failed: {error}. "
            f"To do without, unpack that file elsewhere and put its atomic files there by hand, "
            f"named {name}.inter, {name}.item, ..."
        ) from error


def _download(url: str, target: Path, name: str) -> None:
    if not decide_download(url):
        raise InputError(f"there is no folder {target}, and its download was declined")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as temporary:
        folder = Path(temporary) / target.name
        archive = Path(download_url(url, str(folder)))
        extract_zip(str(archive), str(folder))
        archive.unlink()
        rename_atomic_files(str(folder), archive.stem, name)
        os.replace(folder, target)


def _check_reachable(url: str) -> None:
    """Ask for the file's head; beside this thread, as looking up a name knows no time limit.

    Raises:
        OSError: when there is no answer within `PATIENCE` seconds.
    """
    answers: list[OSError | None] = []

    def ask() -> None:
        try:
            with urlopen(Request(url, method="HEAD"), timeout=PATIENCE):
                answers.append(None)
        except HTTPError:  # the host is there; what it has is asked for next
            answers.append(None)
        except OSError as error:
            answers.append(error)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if not answers:
        raise TimeoutError(f"no answer within {PATIENCE:.0f} seconds")
    if answers[0] is not None:
        raise answers[0]


@contextmanager
def _patience() -> Iterator[None]:
    """New connections give up when nothing comes for `PATIENCE` seconds."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
