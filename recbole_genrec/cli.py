"""The command line: `recbole-genrec run | tokenize | recommend`, arguments as in RecBole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from recbole_genrec import __version__
from recbole_genrec.config import parse_value
from recbole_genrec.errors import InputError


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console command `recbole-genrec`."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="recbole-genrec",
        description="Generative recommendation for RecBole.",
        epilog="\n".join(f"  {name:10} {command.__doc__}" for name, command in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"recbole_genrec {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    COMMANDS[parser.parse_args(arguments[:1]).command](arguments[1:])


def run(arguments: Sequence[str] | None = None) -> None:
    """train and test a model: --model=M --dataset=D [--config_files="a b"] [--key=value ...]"""
    parser = _run_parser("run", run.__doc__)
    parser.add_argument("-m", "--model", default="TIGER", help="model of ours or of RecBole")
    known, settings = _parse(parser, arguments)

    def command() -> None:
        from recbole_genrec.quick_start import run_recbole_genrec

        run_recbole_genrec(known.model, known.dataset, known.config_files, settings)

    _execute(command)


def tokenize(arguments: Sequence[str] | None = None) -> None:
    """build, report on and export semantic IDs: --dataset=D --tokenizer=T[,T2,...] [--key=value]"""
    parser = _run_parser("tokenize", tokenize.__doc__)


def recommend(arguments: Sequence[str] | None = None) -> None:
    """answer histories of items: --checkpoint=C [--input=histories.jsonl] [--top_k=10]"""
    parser = _parser("recommend", recommend.__doc__)
    option = parser.add_argument
    option("--checkpoint", required=True, help="a model that training has saved")
    option("--input", default="-", help="histories as JSON lines or CSV; standard input without")
    option("--output", default="-", help="file of JSON lines; standard output without")
    option("--top_k", type=int, default=10, help="items per history")
    option("--exclude_history", action="store_true", help="recommend nothing of the history")
    option("--allowed_items", help="file of item tokens, one per line: recommend these only")
    option("--unknown_items", default="error", help="'skip' drops what the model does not know")
    option("--new_items", help='JSON lines {"item": "token", "text": "..."} to add first')
    known = parser.parse_args(arguments)

    def command() -> None:
        from recbole_genrec.inference import answer_file

        answer_file(**vars(known))

    _execute(command)


COMMANDS = {"run": run, "tokenize": tokenize, "recommend": recommend}


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"recbole-genrec {command}", description=description, allow_abbrev=False
    )


def _run_parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = _parser(command, description)
    parser.add_argument("-d", "--dataset", default="ml-100k", help="name of the data set")
    parser.add_argument(
        "--config_files",
        type=str.split,
        help="YAML files, separated by spaces; later ones override earlier ones",
    )
    return parser


def _parse(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The parser's own arguments, and all others as settings: `--key=value`."""
    known, others = parser.parse_known_args(arguments)
    settings = {}
    for argument in others:
        key, equals, value = argument.removeprefix("--").partition("=")
        if not (argument.startswith("--") and key and equals):
            parser.error(f"expected --key=value, found {argument!r}")
        settings[key] = parse_value(value)
    return known, settings


def _execute(command: Callable[[], None]) -> None:
    """Run a command; what the user can mend ends in one line instead of a traceback."""
    try:
        command()
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
