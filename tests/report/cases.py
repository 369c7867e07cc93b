"""A comparison made up once for all tests of its report."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from recbole_genrec.compare import compare
from tests.made_up_runs import made_up_recommendations, with_masked, write_run

TRICKY = 'Bread & <b>Butter</b> </script> "50 %"'  # a title that must not break the page
QUALITY = {
    "num_items": 40, "codebook_sizes": [6, 4, 4], "distinct_ids": 38, "collision_rate": 0.05,
    "colliding_items": 4, "largest_bucket": 2, "tokenizer": {"name": "RQVAE"},
    "levels": [
        {"codes": 6, "used": 4, "entropy": 0.9, "filtered": 0.75, "cosine": None},
        {"codes": 4, "used": 4, "entropy": 1.0, "filtered": 0.7, "cosine": 0.5},
        {"codes": 4, "used": 4, "entropy": 1.0, "filtered": 0.7, "cosine": 0.9},
    ],
    "verdict": ["level 1 uses 4 of 6 codes: some lie idle"],
}  # fmt: skip


ITEM_FILE = {
    **{"ITEM_ID_FIELD": "item_id", "item_text_fields": ["title"]},
    **{"field_separator": "\t", "seq_separator": " "},
}


@cache
def comparison() -> dict:
    """Pop, SASRec and a model with semantic IDs, two seeds each, one failed run, titles."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        settings = {**ITEM_FILE, "data_path": folder}
        titles = [f"i{n:03}\t{TRICKY if n % 2 else f'Title {n}'}" for n in range(1, 41)]
        (root / "made-up.item").write_text("\n".join(["item_id:token\ttitle:token", *titles]))
        for number, (model, skill) in enumerate({"Pop": 0.1, "SASRec": 0.4, "TIGER": 0.6}.items()):
            for seed in (1, 2):
                lists = made_up_recommendations(
                    10 * number + seed, users=200, levels=3 * (model == "TIGER"), skill=skill
                )
                report = {"": QUALITY} if model == "TIGER" else {}
                path = root / f"{model}-{seed}"
                lists = with_masked(lists)
                write_run(path, model, seed, lists, settings, tokenizer_reports=report)
        error = {"type": "RuntimeError", "message": "out of memory <now>", "traceback": ""}
        write_run(root / "X-1", "X", 1, made_up_recommendations(), status="failed", error=error)
        return compare([root])
