"""The text of every item, read from the raw ``.item`` file by raw item token.

RecBole's loaded item features are no source of text: words are remapped to ids and long sequences
are cut. The file itself has neither fault.
"""

from logging import getLogger
from pathlib import Path

import pandas as pd

from recbole_genrec.data.repair.atomic_file import (
    check_some_in_common,
    read_atomic_file,
    read_header,
)
from recbole_genrec.errors import InputError, first_few

FIELD_JOINER = ", "


def read_item_texts(config, item_tokens: list[str]) -> list[str]:
    """The text of each item: its `item_text_fields` in the order given, joined by a comma.

    Args:
        config: needs `data_path` (the folder of the data set), `dataset`, `field_separator`,
            `seq_separator`, `ITEM_ID_FIELD` and `item_text_fields`.
        item_tokens: raw token of every item, index = internal id; index 0 is the padding item.

    Returns:
        One text per item, index = internal id; "" for the padding item and for items without text
        (how many and which is logged).

    Raises:
        InputError: no file, no such column, or two rows for one item.
    """
    table = _read_text_columns(config, item_tokens)
    absent = [field for field in _wanted_fields(config) if field not in table]
    if absent:
        getLogger().info(
            f"{item_file(config)} has no column {absent}: item texts are made of "
            f"{list(table.columns)} (item_text_fields)."
        )
    texts = [
        FIELD_JOINER.join(filter(None, row)) for row in table.itertuples(index=False, name=None)
    ]
    without = [token for token, text in zip(item_tokens[1:], texts[1:], strict=True) if not text]
    if without:
        getLogger().warning(
            f"{len(without)} of {len(texts) - 1} items have no text in {list(table.columns)} of "
            f"{item_file(config)} and are encoded as empty text: {first_few(without)}"
        )
    return texts


def read_item_titles(config, item_tokens: list[str]) -> list[str]:
    """What to call each item when it is shown: the first of its text fields that the file has.

    Arguments, result and errors are those of `read_item_texts`.
    """
    return _read_text_columns(config, item_tokens).iloc[:, 0].tolist()


def item_file(config) -> Path:
    """Path of the ``.item`` file of the data set."""
    return Path(config["data_path"]) / f"{config['dataset']}.item"


def _read_text_columns(config, item_tokens: list[str]) -> pd.DataFrame:
    """The text columns as clean strings, row = internal id, "" where the file says nothing."""
    path, id_field = item_file(config), config["ITEM_ID_FIELD"]
    if not path.is_file():
        raise InputError(
            f"Item texts are needed but there is no file {path}. Give it, or instead of texts "
            "`item_embedding_file` or `sid_file`."
        )
    separator, encoding = config["field_separator"], config["encoding"]
    header = read_header(path, separator, encoding)
    fields = _present_fields(path, id_field, _wanted_fields(config), list(header))
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


def _wanted_fields(config) -> list[str]:
    wanted = config["item_text_fields"] or []
    return [wanted] if isinstance(wanted, str) else list(dict.fromkeys(wanted))


def _present_fields(path: Path, id_field: str, wanted: list[str], columns: list[str]) -> list[str]:
    """Those of the wanted text fields that the file has: at least one."""
    if id_field not in columns:
        raise InputError(
            f"{path} has no column '{id_field}' (ITEM_ID_FIELD); its columns are {columns}."
        )
    others = [column for column in columns if column != id_field]
    if not wanted:
        raise InputError(
            f"`item_text_fields` is not set. Choose from the columns of {path}: {others}."
        )
    present = [field for field in wanted if field in others]
    if not present:
        raise InputError(
            f"{path} has none of the columns {wanted} (item_text_fields); choose from {others}."
        )
    return present
