"""A folder of results under a fingerprint of all that they depend on.

A folder is built under another name, sealed with the checksums of its files and only then renamed:
what carries the final name is complete. It is checked again before every use. A lock lets one
process build while others that want the same result wait for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from logging import getLogger
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from recbole_genrec.files import written

MANIFEST = "manifest.json"
FORMAT = 2  # of everything below a cache folder; older ones are rebuilt


class CacheFolder:
    """One result on disk.

    Args:
        root: where all results lie.
        name: what the folder is called, before the fingerprint.
        identity: plain values that determine the result: equal identity, equal result.
    """

    def __init__(self, root: str | Path, name: str, identity: dict[str, Any]) -> None:
        self.identity = json.loads(json.dumps({"format": FORMAT, **identity}, default=str))
        self.fingerprint = hash_texts([json.dumps(self.identity, sort_keys=True)])[:12]
        self.path = Path(root) / f"{name}-{self.fingerprint}"

    def ensure(self, build: Callable[[Path], None], what: str | None = None) -> bool:
        """Have the result on disk, whoever builds it.

        Args:
            build: writes the files of the result into the folder it is given. After an attempt
                that was interrupted or failed it is given that attempt's folder, to go on where
                that one stopped.
            what: what the result is called where the log says where it comes from.

        Returns:
            True if it was built here and now, False if it was there.
        """
        built = self._ensure(build)
        if what is not None:
            origin = "written to" if built else "from the cache"
            getLogger().info(f"{what} {origin} {self.path}")
        return built

    def _ensure(self, build: Callable[[Path], None]) -> bool:
        if self._is_sound():
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{self.path}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            getLogger().info(f"Another process builds {self.path}; wait for it.")
            lock.acquire()
        try:
            if self._is_sound():
                return False
            with written(self.path):
                self._build(build)
            return True
        finally:
            lock.release()

    def _build(self, build: Callable[[Path], None]) -> None:
        building = self.path.with_name(f"{self.path.name}.building")
        building.mkdir(exist_ok=True)
        build(building)
        files = {path.name: hash_file(path) for path in sorted(building.iterdir())}
        manifest = {"identity": self.identity, "files": files}
        (building / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        if self.path.exists():
            shutil.rmtree(self.path)
        os.replace(building, self.path)

    def _is_sound(self) -> bool:
        """Whether the folder is there, ours, complete and unchanged; warns where it is not."""
        if not self.path.exists():
            return False
        fault = self._fault()
        if fault:
            getLogger().warning(f"The cache {self.path} is rebuilt: {fault}.")
        return not fault

    def _fault(self) -> str | None:
        try:
            manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            files = manifest["files"]
            if manifest["identity"] != self.identity:
                return "it holds the result of other settings"
            for name, checksum in files.items():
                if hash_file(self.path / name) != checksum:
                    return f"{name} has changed since it was written"
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return f"it is incomplete or foreign ({error})"
        return None


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def hash_texts(texts: Iterable[str]) -> str:
    """SHA-256 of a sequence of texts, in hexadecimal."""
    digest = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little"))  # ["ab", "c"] is not ["a", "bc"]
        digest.update(encoded)
    return digest.hexdigest()
