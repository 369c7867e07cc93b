"""The command `recbole-genrec prepare`."""

from __future__ import annotations

import argparse
import csv
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from recbole_genrec.data.prepare.prepare import MAX_UNREADABLE, prepare_dataset
from recbole_genrec.data.prepare.raw import SOURCES
from recbole_genrec.data.prepare.raw.table import table_layout
from recbole_genrec.errors import InputError

MOST_CODES = 256  # in a level of TIGER's semantic IDs, which need as many items

EXAMPLES = """\
examples:
  recbole-genrec prepare --dataset=shop --interactions=orders.csv --user=customer --item=sku \\
    --time=date --items=products.csv --item_id=sku --text=title,brand
  recbole-genrec prepare --dataset=beauty --source=amazon2014 \\
    --interactions=reviews_Beauty.json.gz --items=meta_Beauty.json.gz
"""


def prepare_command(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, prepare the data set and print what was kept and left out.

    Raises:
        InputError: for what the user can mend.
    """
    given = _parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    raw_files = _source_files(given) if given.source else _table_files(given)
    preparation = prepare_dataset(
        given.dataset,
        given.data_path,
        raw_files[0],
        raw_files[1] if len(raw_files) > 1 else None,
        core=SOURCES[given.source].core if given.source else None,
        time_format=given.time_format,
        drop_duplicates=given.drop_duplicates,
        max_unreadable=given.max_unreadable,
    )
    print(preparation)
    name = "TIGER" if preparation.items else "SASRec"  # semantic IDs are made from texts
    arguments = [f"--model={name}", f"--dataset={given.dataset}"]
    if given.data_path != "dataset/":
        arguments.append(f"--data_path={given.data_path}")
    config_files = shlex.quote(str(preparation.config_file))  # several may stand in one argument
    arguments.append(f"--config_files={config_files}")
    if name == "TIGER" and len(preparation.item_ids) < MOST_CODES:
        arguments.append("--codebook_sizes=[16,16,16]")
    print(f"train with: recbole-genrec run {shlex.join(arguments)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="recbole-genrec prepare",
        description="Turn raw interactions and item texts into a data set for --dataset.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-d", "--dataset", required=True, help="name of the new data set")
    add("--data_path", default="dataset/", help="folder of the data sets (default: dataset/)")
    add(
        "--interactions",
        type=Path,
        required=True,
        help="who had what, when: CSV (also with tabs or semicolons), JSON lines or Parquet",
    )
    add("--items", type=Path, help="texts of the items, in the same formats")
    add(
        "--source",
        choices=SOURCES,
        help="the files are those of this publisher; otherwise the columns have to be named:",
    )
    add("--user", help="column of the user")
    add("--item", help="column of the item")
    add("--time", help="column of the time: numbers, or dates such as 2024-03-01 17:30:00")
    add("--rating", help="column of the rating, if there is one")
    add("--item_id", help="column of the item in --items (default: as --item)")
    add(
        "--text",
        help="columns of texts in --items, with commas between; one with a comma in quotes",
    )
    add("--time_format", help="other forms of time, e.g. %%d/%%m/%%Y")
    add("--encoding", help="of CSV files, if not utf-8")
    add(
        "--drop_duplicates",
        action="store_true",
        help="keep one interaction of the same user, item and time",
    )
    add(
        "--max_unreadable",
        type=float,
        default=MAX_UNREADABLE,
        metavar="SHARE",
        help="refuse files with a larger share of unreadable lines (default: %(default)s)",
    )
    return parser


def _source_files(given: argparse.Namespace) -> list[tuple]:
    source = SOURCES[given.source]
    for name in ("user", "item", "time", "rating", "item_id", "text", "time_format", "encoding"):
        if getattr(given, name) is not None:
            raise InputError(f"--{name} is not needed: the layout of {given.source} is known")
    files = [(given.interactions, source.interactions_in(given.interactions))]
    return [*files, (given.items, source.items)] if given.items else files


def _table_files(given: argparse.Namespace) -> list[tuple]:
    for name in ("user", "item", "time"):
        if getattr(given, name) is None:
            raise InputError(f"--{name} should name a column of {given.interactions}")
    columns = {"user_id": given.user, "item_id": given.item, "rating": given.rating}
    columns = {ours: theirs for ours, theirs in columns.items() if theirs}
    columns["timestamp"] = given.time
    files = [(given.interactions, table_layout(given.interactions, columns, given.encoding))]
    if given.items is None:
        if given.text:
            raise InputError("--text names columns of --items, which is not given")
        return files
    if not given.text:
        raise InputError(f"--text should name the columns of texts in {given.items}")
    texts = text_columns(next(csv.reader([given.text], skipinitialspace=True)))
    columns = {"item_id": given.item_id or given.item, **texts}
    return [*files, (given.items, table_layout(given.items, columns, given.encoding))]


def text_columns(names: list[str]) -> dict[str, str]:
    """Our name -> the user's: letters, digits and `_` only, because `:` divides name and type."""
    texts = {}
    for name in names:
        ours = re.sub(r"\W+", "_", name.strip()).strip("_")
        if not ours or ours == "item_id" or ours in texts:
            raise InputError(f"--text: [{name}] cannot be a second or nameless text column")
        texts[ours] = name.strip()
    return texts
