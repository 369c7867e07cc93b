"""Training of UniGRec: joint training and, if asked for, fine-tuning with a frozen tokenizer."""

from __future__ import annotations

from recbole_genrec.runs.checkpoint import load_checkpoint, load_weights
from recbole_genrec.trainer.trainer import GenRecTrainer


class UniGRecTrainer(GenRecTrainer):
    """Trains tokenizer and recommender together for `epochs` epochs (stage 2 of UniGRec).

    With `finetune_epochs` above 0 a third stage follows as in the released code: from the best
    epoch on the tokenizer is frozen, and the rest is trained with `finetune_learning_rate`. Its
    epochs are counted from `epochs` on, however early the second stage stopped; the best epoch of
    both stages is kept.
    """

    def __init__(self, config, model):
        super().__init__(config, model)
        self.joint_epochs = self.epochs
        self.finetune_epochs = config["finetune_epochs"]

    @property
    def finetuning(self) -> bool:
        return self.epochs > self.joint_epochs

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, **options):
        """As in RecBole; goes through the stages that are left."""
        result = self.best_valid_score, self.best_valid_result
        if not self.finetuning:
            self.logger.info("Joint training of tokenizer and recommender")
            result = super().fit(train_data, valid_data, verbose, saved, **options)
        if self.finetune_epochs:
            if not self.finetuning:
                self.logger.info(f"Joint training: best valid {result[1]}")
                if saved:  # go on from the best epoch
                    file = self.saved_model_file
                    load_weights(self.model, load_checkpoint(file, self.device), file)
                self._begin_finetuning()
                self.start_epoch = self.joint_epochs
            self.logger.info("Fine-tuning of the recommender with a frozen tokenizer")
            result = super().fit(train_data, valid_data, verbose, saved, **options)
        return result

    def _progress(self, epoch, random):
        return {**super()._progress(epoch, random), "finetuning": self.finetuning}

    def _load_optimizers(self, checkpoint, file) -> None:
        if checkpoint["finetuning"]:
            self._begin_finetuning()
        super()._load_optimizers(checkpoint, file)

    def _begin_finetuning(self) -> None:
        self.model.freeze_tokenizer()
        self.model.learning_rates["recommender"] = self.config["finetune_learning_rate"]
        self.optimizer = self._build_optimizer()
        self.lr_scheduler = None
        self.epochs = self.joint_epochs + self.finetune_epochs
        self.stopping_step = self.config["finetune_stopping_step"]
        self.cur_step = 0

    def _set_up_lr_scheduler(self, steps_per_epoch: int) -> None:
        if not self.finetuning:  # which keeps its learning rate
            super()._set_up_lr_scheduler(steps_per_epoch)
