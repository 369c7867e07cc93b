"""The command line: `recbole-genrec <command>`, arguments as in RecBole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from recbole_genrec import __version__
from recbole_genrec.errors import InputError, RunError


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
    """train and test a model, or compare several"""
    parser = _parser("run", run.__doc__)
    parser.add_argument("-m", "--model", help="model of this package or of RecBole")
    parser.add_argument("--model_list", type=_names, help="models to compare, with commas")
    parser.add_argument("--seed_list", type=_numbers, help="seeds of a comparison, with commas")
    parser.add_argument("--reference", help="model that others are measured against")
    known, settings = _parse_settings(parser, arguments)
    for option in ("seed_list", "reference"):
        if known.model_list is None and getattr(known, option) is not None:
            parser.error(f"--{option} belongs to --model_list")
    if known.model_list is not None and known.model is not None:
        parser.error("expected --model or --model_list, found both")

    def command() -> None:
        if known.model_list is None:
            from recbole_genrec.quick_start import run_recbole_genrec

            run_recbole_genrec(known.model, known.dataset, known.config_files, settings)
        else:
            from recbole_genrec.compare import compare_models
            from recbole_genrec.report import publish

            publish(
                compare_models(
                    known.model_list,
                    known.dataset,
                    known.seed_list,
                    known.config_files,
                    settings,
                    known.reference,
                )
            )

    _execute(command)


def compare(arguments: Sequence[str] | None = None) -> None:
    """compare finished runs: tables, statistics and an HTML report"""
    parser = argparse.ArgumentParser(prog="recbole-genrec compare", description=compare.__doc__)
    parser.add_argument("results", nargs="+", help="folders of runs, or folders of such folders")
    parser.add_argument("--reference", help="model that the others are measured against")
    known = parser.parse_args(arguments)

    def command() -> None:
        from recbole_genrec.compare import compare
        from recbole_genrec.report import publish

        publish(compare(known.results, known.reference))

    _execute(command)


def tokenize(arguments: Sequence[str] | None = None) -> None:
    """build, report on and export semantic IDs: --dataset=D --tokenizer=T[,T2,...]"""
    parser = _parser("tokenize", tokenize.__doc__)
    parser.add_argument("--tokenizer", help="one tokenizer, or several with commas to compare")
    known, settings = _parse_settings(parser, arguments)

    def command() -> None:
        from recbole_genrec.commands.tokenize import tokenize

        tokenize(known.dataset, known.tokenizer, known.config_files, settings)

    _execute(command)


def tune(arguments: Sequence[str] | None = None) -> None:
    """search for hyper-parameters: --model=M --dataset=D --params_file=F [--algo=bayes]"""
    parser = _parser("tune", tune.__doc__)
    option = parser.add_argument
    option("-m", "--model", help="model of this package or of RecBole")
    option("--params_file", required=True, help="hyper-parameters in RecBole's form")
    option("--algo", default="exhaustive", help="exhaustive, random or bayes")
    option("--max_evals", type=int, help="number of trials")
    option("--workers", type=int, default=1, help="trials at the same time")
    option("--pruning", default="median", help="median, or none to finish every trial")
    known, settings = _parse_settings(parser, arguments)

    def command() -> None:
        from recbole_genrec.tune import tune

        tune(
            known.model,
            known.dataset,
            known.params_file,
            known.config_files,
            settings,
            known.algo,
            known.max_evals,
            known.workers,
            known.pruning,
        )

    _execute(command)


def recommend(arguments: Sequence[str] | None = None) -> None:
    """answer histories of items: --checkpoint=C [--input=histories.jsonl] [--top_k=10]"""
    parser = argparse.ArgumentParser(prog="recbole-genrec recommend", description=recommend.__doc__)
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


def analyse(arguments: Sequence[str] | None = None) -> None:
    """look into checkpoints of UniGRec: codebooks, identifiers and collisions, as JSON and PNG"""
    parser = argparse.ArgumentParser(prog="recbole-genrec analyse", description=analyse.__doc__)
    option = parser.add_argument
    option("checkpoints", nargs="+", help="models that training has saved, to be shown together")
    option("--output", default="analysis", help="folder for the numbers and pictures")
    option("--collisions", action="store_true", help="also train the tokenizers again, counting")
    known = parser.parse_args(arguments)

    def command() -> None:
        from recbole_genrec.analysis.identifiers import write_analysis

        write_analysis(known.checkpoints, known.output, known.collisions)
        print(f"written to {known.output}")

    _execute(command)


def prepare(arguments: Sequence[str] | None = None) -> None:
    """turn raw interactions and item texts into a data set for --dataset"""

    def command() -> None:
        from recbole_genrec.commands.prepare import prepare_command

        prepare_command(arguments)

    _execute(command)


COMMANDS = {
    "run": run,
    "tune": tune,
    "tokenize": tokenize,
    "recommend": recommend,
    "compare": compare,
    "analyse": analyse,
    "prepare": prepare,
}


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"recbole-genrec {command}",
        description=description,
        epilog="Every setting of the configuration can be given as --key=value.",
        allow_abbrev=False,
    )
    parser.add_argument("-d", "--dataset", help="name of the data set")
    parser.add_argument(
        "--config_files",
        type=str.split,
        help="YAML files, separated by spaces; later ones override earlier ones",
    )
    return parser


def _parse_settings(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The parser's own arguments, and all others as settings: `--key=value`."""
    known, others = parser.parse_known_args(arguments)
    settings = {}
    for argument in others:
        key, equals, value = argument.removeprefix("--").partition("=")
        if not (argument.startswith("--") and key and equals):
            parser.error(f"expected --key=value, found {argument!r}")
        settings[key] = value
    return known, settings


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"expected names with commas, found {text!r}")
    return names


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in _names(text)]
    except ValueError:
        message = f"expected numbers with commas, found {text!r}"
        raise argparse.ArgumentTypeError(message) from None


def _execute(command: Callable[[], None]) -> None:
    """Run a command; what the user can mend ends in one line instead of a traceback."""
    try:
        from recbole_genrec import compat  # noqa: F401  (first, as it says how to get RecBole)

        command()
    except (InputError, RunError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)  # as shells do
