"""The command line: `recbole-genrec <command>`, arguments as in RecBole."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from recbole_genrec import __version__
from recbole_genrec.errors import InputError, RunError
from recbole_genrec.stopping import Stopped, stop_as_by_ctrl_c


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console command `recbole-genrec`.

    What the user can mend ends in one line instead of a traceback.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="recbole-genrec",
        description="Generative recommendation for RecBole.",
        epilog="\n".join(
            f"  {name:10} {command.__doc__}"
            for name, command in COMMANDS.items()
            if name not in OLD_NAMES
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"recbole_genrec {__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    command = parser.parse_args(arguments[:1]).command
    stop_as_by_ctrl_c()
    try:
        import_module("recbole_genrec.compat")  # first, as it says how to get RecBole
        COMMANDS[command](arguments[1:])
    except (InputError, RunError) as error:
        sys.exit(f"error: {error}")
    except Stopped as stop:
        print(stop, file=sys.stderr)
        sys.exit(128 + stop.number)  # as shells do
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def run(arguments: Sequence[str]) -> None:
    """Train and test a model, or compare several."""
    parser = _settings_parser("run")
    parser.add_argument("-m", "--model", help="model of this package or of RecBole")
    parser.add_argument("--model_list", type=_names, help="models to compare, with commas")
    parser.add_argument("--seed_list", type=_numbers, help="seeds of a comparison, with commas")
    parser.add_argument("--reference", help="model that others are measured against")
    known, settings = _parse_settings(parser, arguments)
    for option in ("seed_list", "reference"):
        if known.model_list is None and vars(known)[option] is not None:
            parser.error(f"--{option} belongs to --model_list")
    if known.model_list is not None and known.model is not None:
        parser.error("expected --model or --model_list, found both")
    if known.model_list is None:
        from recbole_genrec.quick_start import run_recbole_genrec

        run_recbole_genrec(known.model, known.dataset, known.config_files, settings)
        return
    from recbole_genrec.compare import check_none_failed, compare_models
    from recbole_genrec.report import publish

    comparison = compare_models(
        known.model_list,
        known.dataset,
        known.seed_list,
        known.config_files,
        settings,
        known.reference,
    )
    publish(comparison)
    check_none_failed(comparison["failed"])


def compare_runs(arguments: Sequence[str]) -> None:
    """Compare finished runs: tables, statistics and an HTML report."""
    parser = _parser("compare")
    parser.add_argument("results", nargs="+", help="folders of runs, or folders of such folders")
    parser.add_argument("--reference", help="model that the others are measured against")
    known = parser.parse_args(arguments)
    from recbole_genrec.compare import compare
    from recbole_genrec.report import publish

    publish(compare(known.results, known.reference))


def tokenize_items(arguments: Sequence[str]) -> None:
    """Build, report on and export semantic IDs: --dataset=D --tokenizer=T[,T2,...]"""
    parser = _settings_parser("tokenize")
    parser.add_argument("-m", "--model", help="model whose settings hold (default: TIGER)")
    parser.add_argument("--tokenizer", help="one tokenizer, or several with commas to compare")
    known, settings = _parse_settings(parser, arguments)
    from recbole_genrec.commands.tokenize import tokenize

    tokenize(known.dataset, known.tokenizer, known.config_files, settings, known.model)


def tune_model(arguments: Sequence[str]) -> None:
    """Search for hyper-parameters: --model=M --dataset=D --params_file=F [--algo=bayes]"""
    parser = _settings_parser("tune")
    option = parser.add_argument
    option("-m", "--model", help="model of this package or of RecBole")
    option("--params_file", required=True, help="hyper-parameters in RecBole's form")
    option("--algo", default="exhaustive", help="exhaustive, random or bayes")
    option("--max_evals", type=int, help="number of trials")
    option("--workers", type=int, default=1, help="trials at the same time")
    option("--pruning", default="median", help="median, or none to finish every trial")
    known, settings = _parse_settings(parser, arguments)
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


def recommend(arguments: Sequence[str]) -> None:
    """Answer histories of items: --checkpoint=C [--input=histories.jsonl] [--top_k=10]"""
    parser = _parser("recommend")
    option = parser.add_argument
    option("--checkpoint", required=True, help="a model that training has saved")
    option(
        "--input",
        default="-",
        help="histories as JSON lines, or CSV with user_id,item_id,timestamp; default: stdin",
    )
    option("--output", default="-", help="file of JSON lines; standard output without")
    option("--top_k", type=int, default=10, help="items per history")
    option("--exclude_history", action="store_true", help="recommend nothing of the history")
    option("--allowed_items", help="file of item tokens, one per line: recommend these only")
    option("--unknown_items", default="error", help="'skip' drops what the model does not know")
    option("--new_items", help='JSON lines {"item": "token", "text": "..."} to add first')
    option("--explain", action="store_true", help="say what each score is the sum of")
    known = parser.parse_args(arguments)
    from recbole_genrec.commands.recommend import answer_file

    answer_file(**vars(known))


def serve_model(arguments: Sequence[str]) -> None:
    """Answer requests over HTTP, with a page to try it: --checkpoint=C [--port=8000]"""
    parser = _parser("serve")
    option = parser.add_argument
    option("--checkpoint", required=True, help="a sequential model that training has saved")
    option("--host", default="127.0.0.1", help="address to answer on (default: this machine alone)")
    option("--port", type=int, default=8000, help="default: 8000; 0 for any that is free")
    known = parser.parse_args(arguments)
    from recbole_genrec.serve import serve

    serve(**vars(known))


def analyze(arguments: Sequence[str]) -> None:
    """Look into checkpoints with codebooks: usage, identifiers, collisions; JSON and PNG."""
    parser = _parser("analyze")
    option = parser.add_argument
    option("checkpoints", nargs="+", help="models that training has saved, to be shown together")
    option("--output", default="analysis", help="folder for the numbers and pictures")
    option("--collisions", action="store_true", help="also train the tokenizers again, counting")
    known = parser.parse_args(arguments)
    from recbole_genrec.analysis.identifiers import write_analysis

    write_analysis(known.checkpoints, known.output, known.collisions)
    print(f"written to {known.output}")


def export_model(arguments: Sequence[str]) -> None:
    """Write a model for transformers, with a model card: --checkpoint=C --output=DIR"""
    parser = _parser("export")
    parser.add_argument("--checkpoint", required=True, help="a model that training has saved")
    parser.add_argument("--output", required=True, help="folder to make; it may exist if empty")
    known = parser.parse_args(arguments)
    from recbole_genrec.export import export

    print(f"written to {export(known.checkpoint, known.output)}")


def reproduce_table(arguments: Sequence[str]) -> None:
    """Make a table or figure of a paper: TABLE --dataset=D [--seed_list=1,2,3]"""
    from recbole_genrec.reproduce import EXPERIMENTS, reproduce

    parser = _settings_parser("reproduce")
    parser.add_argument("table", metavar="TABLE", help=f"one of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--seed_list", type=_numbers, help="seeds of the runs, with commas")
    known, settings = _parse_settings(parser, arguments)
    if known.dataset is None:
        parser.error("expected --dataset")
    reproduce(
        known.table.replace("-", "_"),
        known.dataset,
        known.seed_list,
        known.config_files,
        settings,
    )


def prepare(arguments: Sequence[str]) -> None:
    """Turn raw interactions and item texts into a data set for --dataset."""
    from recbole_genrec.commands.prepare import prepare_command

    prepare_command(arguments)


COMMANDS = {
    "run": run,
    "tune": tune_model,
    "tokenize": tokenize_items,
    "recommend": recommend,
    "export": export_model,
    "serve": serve_model,
    "compare": compare_runs,
    "analyze": analyze,
    "analyse": analyze,
    "reproduce": reproduce_table,
    "prepare": prepare,
}

OLD_NAMES = ("analyse",)  # of 0.1


def _parser(command: str, **settings: Any) -> argparse.ArgumentParser:
    description = COMMANDS[command].__doc__
    return argparse.ArgumentParser(
        prog=f"recbole-genrec {command}", description=description, **settings
    )


def _settings_parser(command: str) -> argparse.ArgumentParser:
    parser = _parser(
        command,
        epilog="Every setting of the configuration can be given as --key=value.",
        allow_abbrev=False,
    )
    parser.add_argument("-d", "--dataset", help="name of the data set")
    parser.add_argument(
        "--config_files",
        type=_files,
        help="YAML files, separated by spaces; later ones override earlier ones",
    )
    return parser


def _parse_settings(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
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


def _files(text: str) -> list[str]:
    """File names between spaces; one that holds a space itself has quotation marks."""
    if Path(text).is_file():
        return [text]
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} in {text!r}") from None


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
