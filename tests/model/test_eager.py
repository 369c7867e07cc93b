"""EAGER's streams, search, ranking and tasks against loops over users, items and siblings."""

import json

import pytest
import torch
from recbole.data.interaction import Interaction
from torch.nn import functional as F

from recbole_genrec import run_recbole_genrec
from recbole_genrec.compare import compare
from recbole_genrec.errors import InputError
from recbole_genrec.evaluator.recommendations import Recommendations
from recbole_genrec.items.embeddings import ItemEmbeddings
from recbole_genrec.items.encoder import ItemEncoder
from recbole_genrec.loss.contrast import sampled_info_nce
from recbole_genrec.model.eager import BEHAVIOR, EAGER, ranked_once
from recbole_genrec.model.eager_tasks import corrupted
from recbole_genrec.tokenizer.semantic_ids import SemanticIDs
from tests.decoding.oracle import slow_beam_search
from tests.model.test_tiger import CONFIG, N_ITEMS, catalogue, histories
from tests.resume_cases import SETTINGS as CASES
from tests.small import NAME, toy_config, write_toy

SETTINGS = {
    "num_layers": 1,
    "d_kv": 8,
    "candidates": 60,
    "text_contrast_weight": 10.0,
    "behavior_contrast_weight": 1.0,
    "contrast_temperature": 0.3,
    "contrast_negatives": 2048,
    "code_reconstruction_weight": 1.0,
    "code_recognition_weight": 1.0,
    "dropout_rate": 0.0,
}
TEXT_SIZES, BEHAVIOR_SIZES = [8, 9], [5, 4, 6]
OFF = dict.fromkeys(
    ("text_contrast_weight", "behavior_contrast_weight", "code_reconstruction_weight",
     "code_recognition_weight"), 0.0)  # fmt: skip


def data(vectors: bool = True):
    """60 items with IDs in both sets, some nodes with one child, and embeddings."""
    chosen = torch.randperm(8 * 9)[: N_ITEMS - 1]
    dataset = catalogue(torch.stack([chosen // 9, chosen % 9], 1), TEXT_SIZES)
    chosen = torch.randperm(5 * 4 * 6)[: N_ITEMS - 1]
    codes = torch.stack([chosen // 24, chosen // 6 % 4, chosen % 6], 1)
    dataset.items.ids[BEHAVIOR] = SemanticIDs(F.pad(codes, (0, 0, 1, 0)), BEHAVIOR_SIZES)
    for name, width in (("text", 7), ("collaborative", 5)):
        rows = torch.randn(N_ITEMS, width) if vectors else None
        dataset.items.embeddings[name] = ItemEmbeddings(rows, ItemEncoder())
    return dataset


def eager(dataset=None, **settings) -> EAGER:
    """An untrained model whose vectors matter everywhere."""
    model = EAGER({**CONFIG, **SETTINGS, **settings}, dataset or data())
    for stream in (model.text, model.behavior):
        torch.nn.init.normal_(stream.items.weight)
        torch.nn.init.normal_(stream.t5.embedding.weight, std=0.4)
    return model


class SlowStream:
    """One stream of a model, one path at a time; its nodes are tuples of tokens in a dict."""

    def __init__(self, model: EAGER, name: str) -> None:
        self.stream = model.text if name == "text" else model.behavior
        self.ids = model.ids if name == "text" else model.behavior_ids
        self.paths = [tuple(row) for row in self.ids.tokens.tolist()]
        prefixes = {path[:end] for path in self.paths[1:] for end in range(len(path) + 1)}
        ordered = sorted(prefixes, key=lambda prefix: (len(prefix), prefix))
        self.vector = dict(zip(ordered, self.stream.t5.embedding.weight, strict=True))

    def siblings(self, prefix: tuple) -> list[tuple]:
        return sorted(p for p in self.vector if len(p) == len(prefix) and p[:-1] == prefix[:-1])

    def states(self, history: list[int], prefix: tuple, *further: torch.Tensor) -> torch.Tensor:
        """Decoder states `[1 + len(prefix) + further, d]` after a history."""
        t5 = self.stream.t5
        encoded = t5.encode(self.stream.items.weight[history], torch.tensor([len(history)]))
        path = [self.vector[prefix[:end]] for end in range(len(prefix) + 1)]
        return t5.decode_states(encoded, torch.stack([*path, *further])[None])[0]

    def score(self, history: list[int], prefix: tuple) -> torch.Tensor:
        """Log-likelihood of a prefix."""
        total = torch.zeros(())
        states = self.states(history, prefix[:-1]) if prefix else []
        for level, state in enumerate(states):
            family = self.siblings(prefix[: level + 1])
            logits = torch.stack([state @ self.vector[own] for own in family])
            total = total + logits.log_softmax(0)[family.index(prefix[: level + 1])]
        return total


def slow(model: EAGER) -> list[SlowStream]:
    return [SlowStream(model, "text"), SlowStream(model, "behavior")]


def users(interaction: Interaction) -> list[list[int]]:
    lengths = interaction["item_length"].tolist()
    rows = interaction["item_id_list"].tolist()
    return [row[:length] for row, length in zip(rows, lengths, strict=True)]


def slow_scores(model: EAGER, history: list[int]) -> torch.Tensor:
    """Scores `[60]` of all items."""
    streams = slow(model)
    return torch.stack(
        [sum(s.score(history, s.paths[item]) for s in streams) for item in range(1, N_ITEMS)]
    )


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
@torch.no_grad()
def test_with_wide_beams_the_ranking_is_that_of_scoring_every_item(attention):
    model, interaction = eager(history_attention=attention).eval(), histories()
    items, scores = model.recommend(interaction, k=60)
    for user, history in enumerate(users(interaction)):
        expected = slow_scores(model, history)
        torch.testing.assert_close(scores[user], expected.sort(descending=True).values)
        torch.testing.assert_close(scores[user], expected[items[user] - 1])
        one = interaction[user : user + 1]
        one.update(Interaction({"item_id": torch.tensor([9])}))
        torch.testing.assert_close(model.predict(one)[0], expected[8])
    assert all(len(set(row)) == 60 for row in items.tolist())


@torch.no_grad()
def test_the_best_of_both_searches_are_united_and_ranked():
    model, interaction = eager(beam_size=7, candidates=4).eval(), histories()
    items, scores = model.recommend(interaction, k=3)
    for user, history in enumerate(users(interaction)):
        united = set()
        for stream in slow(model):

            def score(prefix, stream=stream, history=history):
                return float(stream.score(history, prefix))

            found = slow_beam_search(score, stream.ids.tokens, 7)
            united |= {item for item, _ in found[:4]}
        every = slow_scores(model, history)
        expected = sorted(united, key=lambda item: -float(every[item - 1]))[:3]
        assert items[user].tolist() == expected
        torch.testing.assert_close(scores[user], every[torch.tensor(expected) - 1])
    longer = model.recommend(interaction, k=4)  # lists of any length up to `candidates` agree
    assert torch.equal(longer[0][:, :3], items)
    dense = model.full_sort_predict(interaction)
    assert torch.equal(dense.topk(3).indices, items) and (dense[:, 0] == -torch.inf).all()
    assert (dense.isfinite().sum(1) <= 4).all()


@torch.no_grad()
def test_only_allowed_items_are_found_with_the_scores_that_they_have_among_all():
    model, interaction = eager().eval(), histories()
    allowed = torch.tensor([7, 3, 30])
    items, scores = model.recommend(interaction, k=5, allowed=allowed)
    assert torch.equal(items[:, :3].sort().values, allowed.sort().values.expand(4, -1))
    assert (items[:, 3:] == 0).all() and (scores[:, 3:] == -torch.inf).all()
    for user, history in enumerate(users(interaction)):
        torch.testing.assert_close(
            scores[user, :3], slow_scores(model, history)[items[user, :3] - 1]
        )


@torch.no_grad()
def test_a_model_in_training_recommends_without_dropout():
    model, interaction = eager(dropout_rate=0.4).eval(), histories()
    expected = model.recommend(interaction, k=10)
    items, scores = model.train().recommend(interaction, k=10)
    assert torch.equal(items, expected[0]) and torch.equal(scores, expected[1])
    assert model.training


def test_each_item_stands_once_by_its_score():
    items = torch.tensor([[5, 2, 5, 0, 9], [1, 1, 1, 1, 3]])
    scores = torch.tensor([[-1.0, -3.0, -1.0, 5.0, -1.0], [-2.0, -2.0, -2.0, -2.0, -1.0]])
    ranked, values = ranked_once(items, scores)
    assert ranked.tolist() == [[5, 9, 2, 0, 0], [3, 1, 0, 0, 0]]
    assert values[0, :3].tolist() == [-1.0, -1.0, -3.0] and values[1, :2].tolist() == [-1.0, -2.0]
    assert (values[ranked == 0] == -torch.inf).all()


@pytest.mark.parametrize("attention", ["bidirectional", "causal"])
def test_both_streams_learn_the_codes_of_each_target(attention):
    model, interaction = eager(history_attention=attention, **OFF), histories()
    samples = []
    for user, target in zip(users(interaction), interaction["item_id"].tolist(), strict=True):
        whole = [*user, target]
        first = 1 if attention == "causal" else len(user)  # one pass trains one after every item
        samples += [(whole[:end], whole[end]) for end in range(first, len(whole))]
    losses = model.calculate_loss(interaction)
    assert len(losses) == 2 and model.num_targets(interaction) == len(samples)
    for stream, loss in zip(slow(model), losses, strict=True):
        each = [-stream.score(history, stream.paths[item]) for history, item in samples]
        levels = len(stream.paths[0])
        torch.testing.assert_close(loss, torch.stack(each).mean() / levels)


def test_the_loss_reaches_every_parameter_and_the_guide_is_not_trained_by_the_transfer():
    model, interaction = eager(), histories()
    losses = model.calculate_loss(interaction)
    assert len(losses) == 6
    sum(losses[4:]).backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in model.text.parameters())
    assert all(parameter.grad is None for parameter in model.text_contrast.parameters())
    sum(losses).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None and gradient.any() for gradient in gradients.values())
    assert model.text.t5.encoder is model.behavior.t5.encoder
    assert len(model.parts()["recommender"]) == len(gradients)


def test_contrast_by_hand():
    queries, vectors = torch.randn(5, 4), F.normalize(torch.randn(9, 4), dim=-1)
    items, negatives = torch.tensor([1, 8, 3, 3, 5]), torch.tensor([3, 6, 7])
    each = []
    for query, item in zip(queries, items.tolist(), strict=True):
        cosines = [F.cosine_similarity(query, vectors[n], dim=0) for n in range(9)]
        others = [cosines[n] for n in negatives.tolist() if n != item]
        each.append(-(torch.stack([cosines[item], *others]) / 0.3).log_softmax(0)[0])
    loss = sampled_info_nce(queries, items, vectors, negatives, 0.3)
    torch.testing.assert_close(loss, torch.stack(each).mean())


@pytest.mark.parametrize("name", ["text", "behavior"])
def test_the_summary_after_the_codes_finds_the_embedding_of_the_item(name):
    dataset = data()
    model, interaction = eager(dataset), histories()
    stream = SlowStream(model, name)
    contrast, weight, place = (
        (model.text_contrast, 10.0, 1) if name == "text" else (model.behavior_contrast, 1.0, 3)
    )
    vectors = dataset.items.embeddings["text" if name == "text" else "collaborative"].vectors
    each = []
    for history, item in zip(users(interaction), interaction["item_id"].tolist(), strict=True):
        state = stream.states(history, stream.paths[item], contrast.token)[-1]
        query = contrast.projection.weight @ state + contrast.projection.bias
        cosines = F.cosine_similarity(query[None], vectors[1:])  # with all items as negatives
        each.append(-(cosines / 0.3).log_softmax(0)[item - 1])
    losses = model.calculate_loss(interaction)
    torch.testing.assert_close(losses[place], weight * torch.stack(each).mean())


def test_negatives_are_random_items_without_the_padding_item(monkeypatch):
    model, drawn = eager(contrast_negatives=10), []

    def spy(projected, items, vectors, negatives, temperature):
        drawn.append(negatives)
        return sampled_info_nce(projected, items, vectors, negatives, temperature)

    monkeypatch.setattr("recbole_genrec.model.eager_tasks.sampled_info_nce", spy)
    for _ in range(40):
        model.text_contrast(torch.randn(3, 7), torch.tensor([1, 2, 3]))
    assert all(len(set(each.tolist())) == 10 for each in drawn)
    assert set(torch.cat(drawn).tolist()) == set(range(1, N_ITEMS))


def slow_states(transfer, codes: list[torch.Tensor], guide: torch.Tensor) -> torch.Tensor:
    """States of one item: a transformer layer with norms behind, written out."""
    layer, heads = transfer.layer, 2
    x = torch.stack([torch.zeros(16), *codes]) + transfer.place
    memory = (transfer.guide.weight @ guide + transfer.guide.bias)[None]

    def attention(module, queries, keys):
        parts = zip(module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3), strict=True)
        q, k, v = (
            rows @ weight.T + bias
            for rows, (weight, bias) in zip((queries, keys, keys), parts, strict=True)
        )
        found = []
        for head in range(heads):
            own = slice(head * 8, (head + 1) * 8)
            found.append((q[:, own] @ k[:, own].T / 8**0.5).softmax(-1) @ v[:, own])
        return torch.cat(found, 1) @ module.out_proj.weight.T + module.out_proj.bias

    def norm(module, rows):
        return F.layer_norm(rows, (16,), module.weight, module.bias)

    x = norm(layer.norm1, x + attention(layer.self_attn, x, x))
    x = norm(layer.norm2, x + attention(layer.multihead_attn, x, memory))
    inner = (x @ layer.linear1.weight.T + layer.linear1.bias).relu()
    return norm(layer.norm3, x + inner @ layer.linear2.weight.T + layer.linear2.bias)


def test_a_masked_code_is_picked_among_its_siblings():
    model = eager()
    transfer, stream, tree = model.transfer, SlowStream(model, "behavior"), model.behavior.tree
    torch.nn.init.normal_(transfer.mask)
    items, masked, guide = (
        torch.tensor([4, 9, 60, 9]),
        torch.tensor([0, 1, 2, 2]),
        torch.randn(4, 7),
    )
    each = []
    for row, (item, level) in enumerate(zip(items.tolist(), masked.tolist(), strict=True)):
        path = stream.paths[item]
        codes = [stream.vector[path[:end]] for end in range(1, 4)]
        codes[level] = transfer.mask
        state = slow_states(transfer, codes, guide[row])[level + 1]
        family = stream.siblings(path[: level + 1])
        logits = torch.stack([state @ stream.vector[own] for own in family])
        each.append(-logits.log_softmax(0)[family.index(path[: level + 1])])
    vectors = model.behavior.node_vectors
    loss = transfer.reconstruction(tree, vectors, tree.nodes[items], guide, masked)
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_true_codes_are_told_from_false_ones():
    model = eager()
    transfer, stream, tree = model.transfer, SlowStream(model, "behavior"), model.behavior.tree
    items, guide = torch.tensor([4, 9, 60]), torch.randn(3, 7)
    false = tree.nodes[[5, 11, 2]]
    each = []
    for others, label in (([4, 9, 60], 1.0), ([5, 11, 2], 0.0)):
        for row, item in enumerate(others):
            path = stream.paths[item]
            codes = [stream.vector[path[:end]] for end in range(1, 4)]
            state = slow_states(transfer, codes, guide[row])[0]
            logit = transfer.recognized.weight[0] @ state + transfer.recognized.bias[0]
            each.append(F.binary_cross_entropy_with_logits(logit, torch.tensor(label)))
    vectors = model.behavior.node_vectors
    loss = transfer.recognition(vectors, tree.nodes[items], false, guide)
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_a_false_path_has_another_node_of_the_same_level_in_one_place():
    tree = eager().behavior.tree
    nodes, levels = tree.nodes[torch.randint(1, N_ITEMS, (4000,))], torch.randint(3, (4000,))
    false = corrupted(tree, nodes, levels)
    changed = false != nodes
    assert torch.equal(changed[:, 1:], F.one_hot(levels, 3).bool()) and not changed[:, 0].any()
    for level in range(3):
        of_level = set(tree.nodes[1:, level + 1].tolist())
        assert set(false[levels == level, level + 1].tolist()) == of_level


def test_released_settings_leave_both_tasks_out(tmp_path):
    model = eager(**OFF)
    assert len(model.calculate_loss(histories())) == 2
    assert model.text_contrast is model.behavior_contrast is model.transfer is None
    names = [type(need).__name__ for need in EAGER.needs({**CONFIG, **SETTINGS, **OFF})]
    assert names == ["Tokens", "Tokens"]


def test_weights_of_the_tasks_are_left_out_where_nothing_is_trained():
    dataset = data()
    model, interaction = eager(dataset).eval(), histories()
    for embeddings in dataset.items.embeddings.values():
        object.__setattr__(embeddings, "vectors", None)  # as a checkpoint has them
    restored = eager(dataset).eval()
    restored.load_state_dict(model.state_dict())
    assert restored.transfer is None
    expected = model.recommend(interaction, 5)
    for found, own in zip(restored.recommend(interaction, 5), expected, strict=True):
        assert torch.equal(found, own)


def test_the_trees_follow_the_ids():
    model = eager().eval()
    ids = data().items.ids
    while len(ids[""].codes[1:, 0].unique()) != model.text.tree.level_size[1]:
        ids = data().items.ids
    model.ids.replace(ids[""])
    stream = SlowStream(model, "text")
    items, scores = model.text.search(torch.tensor([3, 4]), torch.tensor([2]), model.ids.trie, 60)
    expected = [stream.score([3, 4], stream.paths[item]) for item in items[0].tolist()]
    torch.testing.assert_close(scores[0], torch.stack(expected))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"candidates": 30, "beam_size": 20}, r"candidates should be at most beam_size \[20\]"),
        ({"valid_beam_size": 10}, r"candidates should be at most valid_beam_size \[10\]"),
        ({"d_model": 10, "num_heads": 4}, r"d_model should be a multiple of num_heads \[4\]"),
        (
            {"text_contrast_weight": 0},
            r"code_reconstruction_weight should be 0 where text_contrast_weight is 0",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message, tmp_path):
    config = toy_config("EAGER", write_toy(tmp_path), **settings)
    with pytest.raises(InputError, match=message):
        EAGER.check_config(config)


def test_new_items_are_refused_in_one_line():
    with pytest.raises(InputError, match="EAGER knows the items that it was trained on alone: a"):
        eager().add_items(["new"], ["new"], {"text": torch.randn(1, 7)})


def test_results_keep_the_codes_of_both_streams_and_are_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_toy(tmp_path, missing=False)
    for model in ("EAGER", "SASRec"):
        config = toy_config(model, tmp_path, **CASES[model])
        settings = {**config.external_config_dict, "results_dir": str(tmp_path / "results")}
        run_recbole_genrec(model, NAME, config_dict=settings)
    (folder,) = (tmp_path / "results").glob("EAGER-*")
    record = json.loads((folder / "result.json").read_text())
    assert record["status"] == "finished" and record["test_result"]
    lists = Recommendations.load(folder / "recommendations.npz")
    assert lists.codes.keys() == {"", BEHAVIOR}
    for codes in map(torch.from_numpy, lists.codes.values()):
        assert codes.shape == (41, 2) and len(codes[1:].unique(dim=0)) == 40
    names = {each["name"] for each in compare([tmp_path / "results"])["models"]}
    assert names == {"SASRec", "EAGER"}


def test_a_tree_with_too_few_leaves_is_refused_before_the_teacher_is_trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_toy(tmp_path, missing=False)
    settings = {**CASES["EAGER"], "behavior_codebook_sizes": [6, 6]}
    given = toy_config("EAGER", tmp_path, **settings).external_config_dict
    with pytest.raises(InputError, match=r"a leaf for each of 40 items, found \[\[6, 6\] with 36"):
        run_recbole_genrec("EAGER", NAME, config_dict=given)
    assert not (tmp_path / "saved" / "teachers").exists()
