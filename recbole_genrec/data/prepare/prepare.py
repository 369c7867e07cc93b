"""From raw interactions and item texts to a data set of atomic files, in one pass over each.

Memory grows with the users and items, not with the interactions (but with `drop_duplicates`).
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

import pandas as pd

from recbole_genrec.data.prepare.raw.cleaning import (
    SEQUENCE_SEPARATOR,
    InteractionCleaner,
    clean_ids,
    clean_texts,
    leave_out,
)
from recbole_genrec.data.prepare.raw.drops import Drops
from recbole_genrec.data.prepare.raw.layout import Layout, read_raw
from recbole_genrec.errors import InputError
from recbole_genrec.files import replacing_all

MAX_UNREADABLE = 0.1
FEWEST_ROWS_TO_JUDGE = 1000  # before the end of a file


@dataclass
class Preparation:
    """What was read, kept and left out; `str()` of it is the report for the user.

    Attributes:
        folder: where the data set lies; its name is that of the data set.
        interactions: account of the interactions' file.
        items: account of the items' file, or None.
        users: raw IDs of the users kept.
        item_ids: raw IDs of the items kept, whether or not they have a text.
        without_row: how many of them are not in the items' file.
        first, last: the earliest and latest time.
    """

    folder: Path
    interactions: Drops
    items: Drops | None = None
    users: set[str] = field(default_factory=set)
    item_ids: set[str] = field(default_factory=set)
    without_row: int = 0
    first: float = float("inf")
    last: float = float("-inf")

    @property
    def config_file(self) -> Path:
        """The settings that go with the files, for `--config_files`."""
        return self.folder / f"{self.folder.name}.yaml"

    def __str__(self) -> str:
        lines, without = [str(self.interactions)], ""
        if self.items is not None:
            lines.append(str(self.items))
            without = f" ({self.without_row:,} of them not in {self.items.path})"
        lines.append(
            f"{self.folder}: {len(self.users):,} users, {len(self.item_ids):,} items{without}, "
            f"{self.interactions.kept:,} interactions from {_moment(self.first)} "
            f"to {_moment(self.last)}"
        )
        return "\n".join(lines)


def prepare_dataset(
    dataset: str,
    data_path: str | os.PathLike,
    interactions: tuple[Path, Layout],
    items: tuple[Path, Layout] | None = None,
    core: int | None = None,
    time_format: str | None = None,
    drop_duplicates: bool = False,
    max_unreadable: float = MAX_UNREADABLE,
) -> Preparation:
    """Write `.inter`, `.item` and `.yaml` of a new data set, all or none.

    Args:
        dataset: its name; the files are `<data_path>/<dataset>/<dataset>.inter` and so on.
        data_path: the folder of the data sets.
        interactions: file and layout with `user_id`, `item_id`, `timestamp` and perhaps `rating`.
        items: file and layout with `item_id` and texts. Only items with interactions are kept.
        core: fewest interactions of users and items, as the filter in the `.yaml`; the other
            files hold all of them.
        time_format: as in `datetime.strptime`, for times that are neither numbers nor ISO 8601.
        drop_duplicates: keep one of the interactions with the same user, item and time.
        max_unreadable: a file with a larger share of unreadable lines is refused.

    Raises:
        InputError: for names, files or columns that cannot work, or when nothing is left.
    """
    if not 0 <= max_unreadable <= 1:
        raise InputError(f"max_unreadable should be a share from 0 to 1, found [{max_unreadable}]")
    check_name(dataset)
    folder = Path(data_path) / dataset
    suffixes = [".yaml", ".item", ".inter"] if items else [".yaml", ".inter"]
    targets = [folder / f"{dataset}{suffix}" for suffix in suffixes]
    for target in targets:
        if target.exists():
            raise InputError(f"{target} exists already; choose another name or delete it")
    for path, layout in [interactions, *([items] if items else [])]:
        if not path.exists():
            raise InputError(f"there is no file {path}")
        next(read_raw(path, layout, Drops(path)), None)  # are the columns there?

    preparation, texts = Preparation(folder, Drops(interactions[0])), []
    clean = InteractionCleaner(preparation.interactions, time_format, drop_duplicates)
    with _files_at_once(targets) as (config_file, *item_file, inter_file):
        for rows in read_raw(*interactions, preparation.interactions):
            _write_interactions(clean(rows), inter_file, preparation)
            _check_share(preparation.interactions, max_unreadable)
        preparation.interactions.check_readable(max_unreadable)
        if not preparation.users:
            raise InputError(f"no interaction is left: {preparation.interactions}")
        if items:
            texts = _write_items(items, item_file[0], preparation, max_unreadable)
        config_file.write(_config(preparation, "rating" in interactions[1].columns, texts, core))
    return preparation


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a prepared data set."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"--dataset={name}: expected a name of letters, digits, '-', '_' and '.'")
    if name == "ml-100k":
        raise InputError("--dataset=ml-100k is the data set inside RecBole; choose another name")


def _write_interactions(rows: pd.DataFrame, file: TextIO, preparation: Preparation) -> None:
    if file.tell() == 0:
        types = {"user_id": "token", "item_id": "token"}
        file.write("\t".join(f"{name}:{types.get(name, 'float')}" for name in rows.columns) + "\n")
    _write_rows(rows, file)
    preparation.users.update(rows["user_id"])
    preparation.item_ids.update(rows["item_id"])
    if len(rows):
        preparation.first = min(preparation.first, rows["timestamp"].min())
        preparation.last = max(preparation.last, rows["timestamp"].max())


def _write_items(
    items: tuple[Path, Layout], file: TextIO, preparation: Preparation, max_unreadable: float
) -> list[str]:
    """Write the texts of items with interactions; the result names the text columns."""
    path, layout = items
    drops = preparation.items = Drops(path)
    written: set[str] = set()
    names: list[str] = []
    stranger = None
    for rows in read_raw(path, layout, drops):
        if not names:
            names = list(rows.columns.drop("item_id"))
            types = ["token_seq" if name in layout.sequences else "token" for name in names]
            header = [f"{name}:{kind}" for name, kind in zip(names, types, strict=True)]
            file.write("\t".join(["item_id:token", *header]) + "\n")
        rows = clean_ids(rows, "item_id", drops)
        unknown = ~rows["item_id"].isin(preparation.item_ids)
        stranger = stranger or next(iter(rows["item_id"][unknown]), None)
        rows = leave_out(rows, unknown, "item without interactions", drops)
        again = rows["item_id"].isin(written) | rows["item_id"].duplicated()
        rows = leave_out(rows, again, "repeated item (its first line counts)", drops)
        _check_share(drops, max_unreadable)
        _write_rows(clean_texts(rows, layout.sequences), file)
        written.update(rows["item_id"])
    drops.check_readable(max_unreadable)
    if not written:
        raise InputError(
            f"{path}: none of the {drops.rows:,} {drops.unit}s is an item of the interactions, "
            f"which have e.g. [{min(preparation.item_ids)}] where this file has [{stranger}]"
        )
    preparation.without_row = len(preparation.item_ids) - len(written)
    return names


def _write_rows(rows: pd.DataFrame, file: TextIO) -> None:
    rows.to_csv(
        file, sep="\t", header=False, index=False, quoting=csv.QUOTE_NONE, float_format="%.15g",
        lineterminator="\n",
    )  # fmt: skip


def _check_share(drops: Drops, max_unreadable: float) -> None:
    if drops.rows >= FEWEST_ROWS_TO_JUDGE:
        drops.check_readable(max_unreadable)


@contextmanager
def _files_at_once(paths: list[Path]) -> Iterator[list[TextIO]]:
    """New files that get their names when all of them are complete, and vanish otherwise."""
    folder = paths[0].parent
    is_new = not folder.exists()
    try:
        with replacing_all(paths) as temporary, ExitStack() as stack:
            yield [
                stack.enter_context(open(path, "w", encoding="utf-8", newline=""))
                for path in temporary
            ]
    finally:
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _config(preparation: Preparation, rated: bool, texts: list[str], core: int | None) -> str:
    """The settings that go with the files, for `--config_files`."""
    columns = ["user_id", "item_id", *(["rating"] if rated else []), "timestamp"]
    report = "".join(f"# {line}\n" for line in str(preparation).splitlines())
    fields = f"item_text_fields: {json.dumps(texts)}  # (list) Columns of the item texts.\n"
    off, least = "" if core else "# ", core or 5
    return f"""\
{report}
USER_ID_FIELD: user_id    # (str) Column of the user.
ITEM_ID_FIELD: item_id    # (str) Column of the item.
RATING_FIELD: rating      # (str) Column of the rating.
TIME_FIELD: timestamp     # (str) Column of the time.
load_col:                 # (dict) Columns to load.
  inter: {json.dumps(columns)}
seq_separator: "{SEQUENCE_SEPARATOR}"        # (str) Between values that may be several words.
{fields if texts else ""}
val_interval: ~           # (dict) Interactions to keep, e.g. {{rating: "[4,inf)"}}.
{off}user_inter_num_interval: "[{least},inf)"  # (str) Users with at least {least} interactions,
{off}item_inter_num_interval: "[{least},inf)"  # (str) and items with at least {least}.
eval_args:                # (dict) Leave-one-out: last item test, last but one validation.
  split: {{LS: valid_and_test}}
  group_by: user
  order: TO
  mode: full
"""


def _moment(time: float) -> str:
    """A date where the number is one in unix seconds, else the number."""
    if 1e8 <= time < 1e11:  # 1973 to 5138
        return f"{datetime.fromtimestamp(time, timezone.utc):%Y-%m-%d}"
    return f"{time:.15g}"
