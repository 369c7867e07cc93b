"""The text of every item, read from the raw ``.item`` file by raw item token.

RecBole's loaded item features are no source of text: words are remapped to ids and long sequences
are cut. The file itself has neither fault.
"""

from __future__ import annotations

from collections.abc import Sequence
from logging import getLogger
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from recbole_genrec.atomic_file import (
    check_some_in_common,
    read_atomic_file,
    read_header,
)
from recbole_genrec.errors import InputError, first_few

FIELD_JOINER = ", "


class ItemTexts(NamedTuple):
    """What the ``.item`` file says of every item, index = internal id, "" for the padding item."""

    texts: list[str]
    """The `item_text_fields` in the order given, joined by a comma; "" for items without any."""
    titles: list[str]
    """What to call each item when it is shown: the first of its text fields."""
    fields: list[str]
    """The `item_text_fields` that the file has."""


def read_items(config, item_tokens: Sequence[str]) -> ItemTexts:
    """Read texts and titles of all items, at once.

    Args:
        config: needs `data_path` (the folder of the data set), `dataset`, `field_separator`,
            `seq_separator`, `ITEM_ID_FIELD` and `item_text_fields`.
        item_tokens: raw token of every item, index = internal id; index 0 is the padding item.

    Raises:
        InputError: no file, no such column, or two rows for one item.
    """
    fields = check_text_fields(config)
    table = _read_table(config, item_tokens, fields)
    texts = [
        FIELD_JOINER.join(filter(None, row)) for row in table.itertuples(index=False, name=None)
    ]
    return ItemTexts(texts, table.iloc[:, 0].tolist(), fields)


def log_gaps(config, item_tokens: Sequence[str], read: ItemTexts) -> None:
    """Say which columns and which items' texts are missing, where texts are to be encoded."""
    absent = [field for field in _wanted_fields(config) if field not in read.fields]
    if absent:
        getLogger().info(
            f"{item_file(config)} has no column {absent}: item texts are made of {read.fields} "
            "(item_text_fields)."
        )
    pairs = zip(item_tokens[1:], read.texts[1:], strict=True)
    without = [token for token, text in pairs if not text]
    if without:
        getLogger().warning(
            f"{len(without)} of {len(item_tokens) - 1} items have no text in {read.fields} of "
            f"{item_file(config)} and are encoded as empty text: {first_few(without)}"
        )


def check_text_fields(config) -> list[str]:
    """Those of the `item_text_fields` that the ``.item`` file has; reads its header only.

    Raises:
        InputError: if there is no such file or column.
    """
    fields, fault = find_text_fields(config)
    if fault is not None:
        raise InputError(fault)
    return fields


def find_text_fields(config) -> tuple[list[str], str | None]:
    """As `check_text_fields`; where there are none, also why."""
    path, id_field, wanted = item_file(config), config["ITEM_ID_FIELD"], _wanted_fields(config)
    if not path.is_file():
        instead = "`item_embedding_file` or `sid_file`"
        if config["sid_file"]:
            instead = (
                "`item_embedding_file`, or leave out what reads texts beside the IDs of `sid_file` "
                "(`item_vectors` and `neighbor_steps` of SemanticSASRec)"
            )
        return [], (
            f"Item texts are needed but there is no file {path}. Give it, or instead of texts "
            f"{instead}."
        )
    columns = list(read_header(path, config["field_separator"], config["encoding"]))
    if id_field not in columns:
        return [], f"{path} has no column '{id_field}' (ITEM_ID_FIELD); its columns are {columns}."
    others = [column for column in columns if column != id_field]
    if not wanted:
        return [], f"`item_text_fields` is not set. Choose from the columns of {path}: {others}."
    fields = [field for field in wanted if field in others]
    if not fields:
        return (
            [],
            f"{path} has none of the columns {wanted} (item_text_fields); choose from {others}.",
        )
    return fields, None


def item_file(config) -> Path:
    """Path of the ``.item`` file of the data set."""
    return Path(config["data_path"]) / f"{config['dataset']}.item"


def _wanted_fields(config) -> list[str]:
    wanted = config["item_text_fields"] or []
    return [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))


def _read_table(config, item_tokens: Sequence[str], fields: list[str]) -> pd.DataFrame:
    """Text columns as clean strings, row = internal id, "" where the file says nothing."""
    path, id_field = item_file(config), config["ITEM_ID_FIELD"]
    separator, encoding = config["field_separator"], config["encoding"]
    table = read_atomic_file(path, [id_field, *fields], separator, encoding, as_text=True)
    table = table[table[id_field].notna()].set_index(id_field)
    repeated = table.index[table.index.duplicated()].unique().tolist()
    if repeated:
        raise InputError(
            f"{path}: {len(repeated)} items have more than one row (column '{id_field}'): "
            f"{first_few(repeated)}"
        )
    check_some_in_common(path, id_field, table.index, item_tokens[1:])
    table = table.reindex(index=item_tokens, columns=fields).fillna("")
    table.iloc[0] = ""  # the padding item
    words_separator = config["seq_separator"] or " "
    for field in fields:
        words = table[field].str.replace(words_separator, " ", regex=False).str.split()
        table[field] = words.str.join(" ")
    return table
