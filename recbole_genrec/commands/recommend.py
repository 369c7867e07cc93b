"""The command `recbole-genrec recommend`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from os.path import samefile
from pathlib import Path

from recbole_genrec.commands.histories import read_histories, read_new_items, read_tokens
from recbole_genrec.errors import refuse
from recbole_genrec.files import check_writable, replacing
from recbole_genrec.inference import Recommender


def answer_file(
    checkpoint: str,
    input: str = "-",
    output: str = "-",
    top_k: int = 10,
    exclude_history: bool = False,
    allowed_items: str | None = None,
    unknown_items: str = "error",
    new_items: str | None = None,
    explain: bool = False,
) -> None:
    """Answer a file of histories with JSON lines `{"user", "recommendations"}`.

    Args:
        checkpoint: a model that training has saved.
        input: see `read_histories`; "-" for standard input.
        output: a file, replaced when all is done; "-" for standard output.
        top_k, exclude_history, unknown_items, explain: as in `Recommender.recommend`.
        allowed_items: file of raw item tokens, one per line.
        new_items: see `read_new_items`; these items are added first.

    Raises:
        InputError: for what is wrong in the files.
    """
    if output != "-":
        _check_apart(output, (checkpoint, input, allowed_items, new_items))
    histories = read_histories(input)
    if output != "-":
        check_writable("output", Path(output).parent)
    allowed = None if allowed_items is None else read_tokens(allowed_items)
    recommender = Recommender.from_checkpoint(checkpoint)
    if new_items is not None:
        recommender.add_items(*read_new_items(new_items))
    answers = recommender.recommend(
        [history.items for history in histories],
        top_k,
        exclude_history,
        allowed,
        unknown_items,
        explain=explain,
    )
    lines = "".join(
        json.dumps({"user": history.user, "recommendations": answer}, ensure_ascii=False) + "\n"
        for history, answer in zip(histories, answers, strict=True)
    )
    if output == "-":
        sys.stdout.write(lines)
    else:
        with replacing(output) as temporary:
            Path(temporary).write_text(lines, encoding="utf-8")


def _check_apart(output: str, inputs: Sequence[str | None]) -> None:
    """Refuse to write over what is read."""
    for file in inputs:
        if file and Path(output).is_file() and Path(file).exists() and samefile(output, file):
            refuse("output", "another file than those that are read", output)
