"""Tables and figures of the papers: their recipes, their runs, and what is written."""

import csv
import json
from pathlib import Path

import pytest
import torch

from recbole_genrec import cli
from recbole_genrec.compare import runner
from recbole_genrec.config import Config
from recbole_genrec.config.yaml_files import properties_dir
from recbole_genrec.errors import InputError, RunError
from recbole_genrec.reproduce import EXPERIMENTS, reproduce
from recbole_genrec.reproduce.experiments import Survey
from recbole_genrec.tokenizer.quality.report import token_purity_gains
from tests.small import NAME, SMALL_T5, write_toy

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "reproducing-the-papers.md"
TOY = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "item_text_fields": ["title", "brand"],
    "text_embedding_dim": None,
    "codebook_sizes": [6, 6, 6],
    "append_size": 41,
    "tokenizer_hidden_sizes": [8],
    "tokenizer_code_dim": 4,
    "tokenizer_epochs": 3,
    **SMALL_T5,
    "beam_size": 10,
    "joint_tokenizer_learning_rate": 0.01,
    "distillation_warmup_epochs": 1,
    "teacher_hidden_size": 8,
    "teacher_epochs": 1,
    "teacher_config": {"n_layers": 1, "inner_size": 8},
    "epochs": 2,
    "show_progress": False,
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> dict:
    """Settings of short runs, which the tests share."""
    folder = tmp_path_factory.mktemp("toy")
    places = {key: str(folder / key) for key in ("results_dir", "checkpoint_dir")}
    return {**TOY, **places, "data_path": str(write_toy(folder, missing=False))}


@pytest.fixture(autouse=True)
def started(tmp_path, monkeypatch) -> list[tuple[str, int]]:
    """Runs happen in this process; the recipes that were run."""
    runs = []

    def run(arguments):
        runs.append(Path(arguments[2][1]).stem)
        runner._run(*arguments)

    monkeypatch.chdir(tmp_path)  # where the log goes
    monkeypatch.setattr(runner, "_run_in_own_process", run)
    return runs


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_row_has_a_recipe_and_the_document_a_command(name):
    experiment = EXPERIMENTS[name]
    recipes = {r.recipe for r in getattr(experiment, "rows", [experiment])}
    for recipe in recipes:
        file = properties_dir() / "recipe" / f"{recipe}.yaml"
        assert Config(None, "ml-100k", [str(file)])["MAX_ITEM_LIST_LENGTH"] == 20
    assert f"reproduce {name} " in DOCUMENT.read_text(encoding="utf-8")


def test_every_table_and_figure_of_both_papers_is_there():
    token_weighting = {f"table_{n}" for n in range(1, 8)} | {f"figure_{n}" for n in range(1, 6)}
    unigrec = {f"table_{n}" for n in range(1, 4)} | {f"figure_{n}" for n in range(3, 7)}
    names = {f"token_weighting_{name}" for name in token_weighting}
    assert set(EXPERIMENTS) == names | {f"unigrec_{name}" for name in unigrec}


def test_runs_are_shared_between_tables_and_figures(toy, started, capsys):
    folder = reproduce("token_weighting_table_7", NAME, [1], config_dict=toy)
    assert started == ["token_weighting_tiger", "token_weighting_ours"]
    table = (folder / "token_weighting_table_7.md").read_text()
    assert "Ground truth" in table and "TIGER + Ours (top 3)" in table and "(3) word" in table
    comparison = json.loads((folder / "comparison.json").read_text())
    assert [model["name"] for model in comparison["models"]] == ["TIGER", "TIGER + Ours"]
    assert comparison["reference"] == "TIGER"

    folder = reproduce("token_weighting_figure_5", NAME, [1], config_dict=toy)
    assert len(started) == 2  # nothing anew
    (curve,) = json.loads((folder / "token_weighting_figure_5.json").read_text()).values()
    assert curve["steps"][0] == 0 and len(curve["steps"]) == 3
    assert [curve["shares"][name][0] for name in curve["shares"]] == [0.5, 0.0, 0.5]
    assert all(
        sum(each) == pytest.approx(1) for each in zip(*curve["shares"].values(), strict=True)
    )
    assert (folder / "token_weighting_figure_5.png").read_bytes()[:4] == b"\x89PNG"
    assert "Weights of the objectives" in capsys.readouterr().out


def test_what_lists_say_beyond_the_metrics(toy):
    folder = reproduce("token_weighting_table_6", NAME, [1], config_dict=toy)
    with (folder / "token_weighting_table_6.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["Model"] for row in rows] == ["TIGER", "TIGER + FrontGreater", "TIGER + Ours"]
    models = json.loads((folder / "comparison.json").read_text())["models"]
    for row, model in zip(rows, models, strict=True):
        values = [float(row[f"Top-{k}"]) for k in (3, 2, 1)]
        assert values == sorted(values)  # fewer tokens are easier
        assert values[0] == pytest.approx(model["test"]["ndcg@5"]["mean"], abs=1e-6)

    folder = reproduce("token_weighting_figure_2", NAME, [1], config_dict=toy)
    shares = json.loads((folder / "token_weighting_figure_2.json").read_text())["TIGER"]
    assert sum(shares["targets"]) == pytest.approx(1) == sum(shares["recommended"])
    folder = reproduce("token_weighting_figure_3", NAME, [1], config_dict=toy)
    halves = json.loads((folder / "token_weighting_figure_3.json").read_text())
    assert list(halves) == ["TIGER", "Frequency only", "TIGER + Ours"]
    assert halves["TIGER"]["head"]["users"] + halves["TIGER"]["tail"]["users"] == 30


def test_what_checkpoints_say_of_identifiers(toy):
    folder = reproduce("unigrec_figure_6", NAME, [1], config_dict=toy)
    changes = json.loads((folder / "unigrec_figure_6.json").read_text())["UniGRec"]
    assert sum(changes["patterns"].values()) == pytest.approx(1)
    folder = reproduce("unigrec_figure_5", NAME, [1], config_dict=toy)
    books = json.loads((folder / "unigrec_figure_5.json").read_text())
    assert [len(books[name][""]) for name in ("UniGRec", "TIGER")] == [3, 3]
    folder = reproduce("unigrec_figure_3", NAME, [1], config_dict=toy)
    curves = json.loads((folder / "unigrec_figure_3.json").read_text())
    assert list(curves) == ["Annealed", "Fixed-High", "Fixed-Low"]
    for curve in curves.values():
        assert curve["pretraining"][-1]["progress"] == 1
        assert all(0 <= point["collision_rate"] <= 1 for point in curve["joint_training"])


def test_rows_that_differ_by_a_setting_keep_it(toy, started):
    settings = {**toy, "curriculum_rate": 0.5}  # of all rows, but for those that are about it
    folder = reproduce("token_weighting_figure_4", NAME, config_dict=settings)
    assert started == ["token_weighting_ours"] * 5
    comparison = json.loads((folder / "comparison.json").read_text())
    rates = [
        json.loads((Path(model["folders"][0]) / "result.json").read_text())["config"][
            "curriculum_rate"
        ]
        for model in comparison["models"]
    ]
    assert rates == [1e-5, 2e-5, 3e-5, 4e-5, 5e-5]
    points = json.loads((folder / "token_weighting_figure_4.json").read_text())
    assert list(points) == ["1e-5", "2e-5", "3e-5", "4e-5", "5e-5"]


def test_all_rows_of_unigrecs_ablation_have_one_size(monkeypatch):
    """On ml-100k, where the file of UniGRec is smaller than the paper and M0 is another model."""

    def stop(runs, names):
        rows.update((name, Config(*run)) for name, run in zip(names, runs, strict=True))
        raise InputError("enough")

    rows = {}
    monkeypatch.setattr("recbole_genrec.reproduce.run.finish_runs", stop)
    with pytest.raises(InputError, match="enough"):
        reproduce("unigrec_table_3", "ml-100k", config_dict={"learning_rate": 0.002})
    t5 = ["d_model", "d_ff", "num_heads", "d_kv", "num_layers", "num_decoder_layers"]
    training = ["train_batch_size", "epochs", "stopping_step", "learning_rate", "history_attention"]
    sizes = {
        tuple(str(row[key]) for key in [*t5, *training, "codebook_sizes"]) for row in rows.values()
    }
    assert len(rows) == 7 and len(sizes) == 1
    assert rows["M0"]["model"] == "TIGER" and rows["M0"]["learning_rate"] == 0.002


def test_collisions_and_metrics_over_the_codeword_uniformity(toy, monkeypatch):
    experiment = EXPERIMENTS["unigrec_figure_4"]
    fewer = experiment._replace(rows=experiment.rows[:2])
    monkeypatch.setitem(EXPERIMENTS, "unigrec_figure_4", fewer)
    folder = reproduce("unigrec_figure_4", NAME, [1, 2], config_dict=toy)
    with (folder / "unigrec_figure_4.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["lambda_CU"] for row in rows] == ["0", "1e-5"]
    assert all(0 <= float(row["Collisions"]) <= 1 for row in rows)
    comparison = json.loads((folder / "comparison.json").read_text())
    for row, model in zip(rows, comparison["models"], strict=True):
        assert float(row["NDCG@10"]) == model["test"]["ndcg@10"]["mean"]
        assert model["seeds"] == [1, 2]
    assert (folder / "unigrec_figure_4.png").is_file()


def test_rows_that_settings_make_the_same_are_refused_before_any_run(toy, started):
    settings = {**toy, "tokenizer_uniformity_weight": 0.5}
    with pytest.raises(InputError, match=r"rows \[0\] and \[1e-5\] should differ, found them the"):
        reproduce("unigrec_figure_4", NAME, config_dict=settings)
    assert not started


def test_a_table_that_lacks_a_run_ends_as_failed(monkeypatch, capsys):
    failed = [{"model": "TIGER", "seed": 1, "error": "the loss is NaN"}]
    monkeypatch.setattr("recbole_genrec.reproduce.run._trained", lambda *_: (Path("x"), failed))
    with pytest.raises(RunError, match="1 of the runs failed .* TIGER, seed 1: the loss is NaN"):
        reproduce("unigrec_table_3", NAME)
    assert "in x" in capsys.readouterr().out


def test_statistics_are_those_of_the_data_set(toy, capsys):
    folder = reproduce("unigrec_table_1", NAME, config_dict=toy)
    with (folder / "statistics.csv").open() as file:
        (row,) = csv.DictReader(file)
    with (Path(toy["data_path"]) / NAME / f"{NAME}.inter").open() as file:
        pairs = [line.split("\t")[:2] for line in file][1:]
    users, items = ({pair[place] for pair in pairs} for place in (0, 1))
    assert [int(row[key]) for key in ("#User", "#Item", "#Interaction")] == [
        len(users),
        len(items),
        len(pairs),
    ]
    assert float(row["Sparsity"]) == pytest.approx(1 - len(pairs) / len(users) / len(items))
    assert float(row["AvgLen"]) == pytest.approx(len(pairs) / len(users))


def test_surveys_need_no_recommender(toy, started, capsys):
    table = reproduce("token_weighting_table_1", NAME, config_dict=toy)
    assert "Layer-3" in (table / "filtered.md").read_text()
    figure = reproduce("token_weighting_figure_1", NAME, config_dict=toy)
    levels = json.loads((figure / "purity.json").read_text())["levels"]
    assert len(levels) == 3 and all(1 <= len(level) <= 6 for level in levels)
    assert (figure / "purity.png").is_file() and not started


def test_purity_gain_of_each_token_by_hand():
    codes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    counts = torch.tensor([1, 1, 4, 4])
    entropy = -2 * (0.1 * torch.tensor(0.1).log() + 0.4 * torch.tensor(0.4).log())
    root = 1 - float(entropy / torch.tensor(4.0).log())  # a pair of equal counts has purity 0
    first, second = token_purity_gains(codes, counts)
    assert first.tolist() == pytest.approx([-root, -root], abs=1e-6)
    assert second.tolist() == pytest.approx([1, 1])
    counts = torch.tensor([3, 0, 0, 0])  # the first pair is pure, nobody knows the second
    first, second = token_purity_gains(codes, counts)
    assert first.tolist() == pytest.approx([0, -1])
    assert second.tolist() == pytest.approx([0.5, 0.5])  # each after a pure and an unknown prefix


def test_the_command_names_what_there_is(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["recbole-genrec"])
    with pytest.raises(
        SystemExit, match="error: table or figure should be one of .*unigrec_table_3"
    ):
        cli.main(["reproduce", "unigrec-table-33", "--dataset=ml-100k"])
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "unigrec-table-3"])
    assert "expected --dataset" in capsys.readouterr().err


SHORT = [
    "--user_inter_num_interval=[200,inf)",
    "--codebook_sizes=[32,32,32]",
    "--append_size=400",
    "--text_embedding_dim=16",
    "--tokenizer_hidden_sizes=[16]",
    "--tokenizer_code_dim=8",
    "--tokenizer_epochs=5",
    "--tokenizer_clusters=2",
    "--d_model=16",
    "--d_ff=16",
    "--num_heads=2",
    "--d_kv=8",
    "--num_layers=1",
    "--num_decoder_layers=1",
    "--history_attention=causal",
    "--train_batch_size=512",
    "--teacher_hidden_size=8",
    "--teacher_epochs=1",
    "--distillation_warmup_epochs=1",
    "--epochs=2",
    "--finetune_epochs=1",
    "--beam_size=10",
    "--candidates=10",
    "--show_progress=False",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_it_runs_on_ml_100k_at_toy_length(name, tmp_path_factory, monkeypatch):
    monkeypatch.undo()  # runs have processes of their own, as for a user
    folder = tmp_path_factory.getbasetemp() / "ml-100k"
    folder.mkdir(exist_ok=True)  # shared, so that no run happens twice
    monkeypatch.chdir(folder)
    before = set(folder.glob("results/*"))
    cli.main(["reproduce", name, "--dataset=ml-100k", *SHORT])
    experiment = EXPERIMENTS[name]
    (written,) = [
        p for p in set(folder.glob("results/*")) - before if not (p / "result.json").exists()
    ]
    if isinstance(experiment, Survey):
        assert any(written.iterdir())
        return
    comparison = json.loads((written / "comparison.json").read_text())
    assert [model["name"] for model in comparison["models"]] == [r.name for r in experiment.rows]
    if experiment.draw is not None:
        assert list(written.glob(f"{name}.*"))
