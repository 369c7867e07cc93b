"""A GRU that reads the items of a history and writes the semantic ID of the next one."""

from torch import nn

from recbole_genrec import register_model
from recbole_genrec.model.generative_recommender import GenerativeRecommender


@register_model
class GRUWriter(GenerativeRecommender):
    """One GRU over items, the sums of their token embeddings; another one over the tokens of the
    target, which starts from the state that the first has ended in.
    """

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        size, vocab_size = config["gru_size"], self.ids.vocab_size
        self.embedding = nn.Embedding(vocab_size, size)
        self.reader = nn.GRU(size, size, batch_first=True)
        self.writer = nn.GRU(size, size, batch_first=True)
        self.dropout = nn.Dropout(config["gru_dropout"])
        self.output = nn.Linear(size, vocab_size)

    def encode(self, interaction):
        tokens = self.labels(interaction[self.ITEM_SEQ])  # [batch, length, L]
        states, _ = self.reader(self.dropout(self.embedding(tokens).sum(2)))
        last = interaction[self.ITEM_SEQ_LEN].to(states.device) - 1
        return self.gather_indexes(states, last)  # [batch, size]

    def decode(self, memory, inputs, view):
        start = memory if view.history is None else memory[view.history]
        states, _ = self.writer(self.embedding(inputs), start.unsqueeze(0))
        return self.output(self.dropout(states))  # [n_targets, l, vocab_size]
