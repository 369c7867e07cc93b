"""A model that trains its tokenizer and its recommender in turn, epoch by epoch."""

from recbole_genrec import register_model
from recbole_genrec.model.hooks import RECOMMENDER
from recbole_genrec.model.joint_recommender import TOKENIZER, JointRecommender
from recbole_genrec.model.phases import LearningRate, Phase


@register_model
class TurnTaker(JointRecommender):
    """In the epochs of the tokenizer the loss is that of the tokenizer on the target items."""

    def phases(self, config):
        turns = [
            {TOKENIZER: LearningRate(config["turn_tokenizer_learning_rate"])},
            {RECOMMENDER: LearningRate(config["learning_rate"])},
        ]
        return [Phase("turns", config["epochs"], config["stopping_step"], turns)]

    def calculate_loss(self, interaction):
        if self.tokenizer_is_trained:
            targets = interaction[self.POS_ITEM_ID].to(self.item_embeddings.device)
            return self.tokenizer.loss(self.item_embeddings[targets], progress=1.0)
        return super().calculate_loss(interaction)
