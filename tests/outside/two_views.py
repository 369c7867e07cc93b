"""A model that reads items by two sets of semantic IDs, of their texts and of their company."""

from torch import nn

from recbole_genrec import register_model
from recbole_genrec.items.needs import COLLABORATIVE, Embeddings, Tokens
from recbole_genrec.model.parallel_recommender import ParallelRecommender

COMPANY = "company"


@register_model
class TwoViews(ParallelRecommender):
    """A GRU over items; the vector of an item is the sum of those of its codes in both sets."""

    @classmethod
    def needs(cls, config):
        return Tokens(), Embeddings(COLLABORATIVE), Tokens(COMPANY, COLLABORATIVE)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        size = config["view_size"]
        self.of_text = nn.Embedding(self.ids.vocab_size, size)
        self.of_company = nn.Embedding(self.company_ids.vocab_size, size)
        self.gru = nn.GRU(size, size, batch_first=True)
        self.loss = nn.CrossEntropyLoss()

    def item_scores(self, interaction):
        by_text, by_company = self.ids.tokens, self.company_ids.tokens  # [n_items, L]
        items = self.of_text(by_text).sum(1) + self.of_company(by_company).sum(1)
        states, _ = self.gru(items[interaction[self.ITEM_SEQ]])
        last = self.gather_indexes(states, interaction[self.ITEM_SEQ_LEN] - 1)
        return last @ items.T  # [batch, n_items]

    def calculate_loss(self, interaction):
        return self.loss(self.item_scores(interaction), interaction[self.POS_ITEM_ID])
