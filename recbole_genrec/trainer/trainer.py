"""RecBole's Trainer on current libraries: one training and evaluation loop for all models."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.data.interaction import Interaction
from recbole.trainer import Trainer
from recbole.utils import calculate_valid_score, get_gpu_usage, set_color
from torch.nn.utils.clip_grad import clip_grad_norm_
from tqdm import tqdm

from recbole_genrec.evaluator.collector import GenRecCollector, RankedItems
from recbole_genrec.trainer.checkpoint import (
    check_same_run,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from recbole_genrec.trainer.epoch_losses import EpochLosses

# Settings that say where and how loudly a run goes, not what comes out of it.
ENVIRONMENT_KEYS = {
    *("gpu_id", "use_gpu", "device", "worker", "state", "show_progress", "verbose"),
    *("data_path", "checkpoint_dir", "dataset_save_path", "dataloaders_save_path", "log_wandb"),
    *("save_dataset", "save_dataloaders", "nproc", "world_size", "offset", "ip", "port"),
    *("local_rank", "single_spec", "wandb_project", "config_files", "results_dir"),
}


class GenRecTrainer(Trainer):
    """Trains and evaluates any model.

    With RecBole's settings the losses and metrics are RecBole's, seed for seed. Beyond that:
    `lr_scheduler` and `warmup_ratio` (a schedule per optimiser step), `enable_amp` in bfloat16,
    gradient clipping also with `enable_scaler`, no wait for the GPU at every step, and checkpoints
    of tensors and plain values.

    A model may offer, beside what RecBole asks of it:
        `parameter_groups()`: groups for the optimiser, in place of `parameters()`;
        `extra_checkpoint()`, `load_extra(dict)`: plain values and tensors for the checkpoint;
        `on_epoch_start(epoch)`, `on_epoch_end(epoch)`: called around each training epoch;
        `recommend(interaction, k)`: item ids and scores `[batch, k]`, best first, by which it is
        then evaluated without scoring all items.
    """

    def __init__(self, config, model):
        super().__init__(config, model)
        torch.autograd.set_detect_anomaly(False)  # on since somebody imported RecBole's models
        self.saved_model_file = str(
            Path(self.checkpoint_dir)
            / f"{config['model']}-{config['dataset']}-{run_fingerprint(config)}.pth"
        )
        self.eval_collector = GenRecCollector(config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=bool(config["enable_scaler"]))
        self.lr_scheduler = None
        self.step = 0  # optimiser steps so far
        self.valid_results: dict[int, dict[str, float]] = {}  # of each validated epoch
        self.recommended_items: torch.Tensor | None = None  # of the last full-ranking evaluation
        self._epoch_idx = -1
        self._lr_scheduler_state: dict | None = None  # of a checkpoint, for when it is set up

    def _build_optimizer(self, **kwargs):
        if "params" not in kwargs and hasattr(self.model, "parameter_groups"):
            kwargs["params"] = self.model.parameter_groups()
        return super()._build_optimizer(**kwargs)

    # ---- training

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        """Train for one epoch; returns the sum of the losses of its batches as RecBole does.

        Raises:
            ValueError: when a loss is NaN; the epoch and the batch are named.
        """
        self.model.train()
        self._epoch_idx = epoch_idx
        self._call_model("on_epoch_start", epoch_idx)
        self._set_up_lr_scheduler(len(train_data))
        loss_func = loss_func or self.model.calculate_loss
        losses = EpochLosses(epoch_idx, self.device)
        if not self.config["single_spec"] and train_data.shuffle:
            train_data.sampler.set_epoch(epoch_idx)

        batches = train_data
        if show_progress:
            batches = tqdm(train_data, ncols=100, desc=set_color(f"Train {epoch_idx:>5}", "pink"))
        start, samples = perf_counter(), 0
        for interaction in batches:
            losses.add(self._train_step(interaction.to(self.device), loss_func))
            samples += len(interaction)
            if show_progress:
                self._show_speed(batches, samples / (perf_counter() - start))
        self._call_model("on_epoch_end", epoch_idx)
        return losses.total()

    def _train_step(self, interaction: Interaction, loss_func):
        """One optimiser step; returns the loss, or the tuple of its parts, of the batch."""
        self.optimizer.zero_grad()
        sync_loss = 0
        if not self.config["single_spec"]:
            self.set_reduce_hook()
            sync_loss = self.sync_grad_loss()
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.enable_amp):
            losses = loss_func(interaction)
        loss = sum(losses) if isinstance(losses, tuple) else losses
        self.scaler.scale(loss + sync_loss).backward()
        if self.clip_grad_norm:
            self.scaler.unscale_(self.optimizer)
            clip_grad_norm_(self.model.parameters(), **self.clip_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.lr_scheduler is not None:
            self.lr_scheduler.step()
        self.step += 1
        return losses

    def _set_up_lr_scheduler(self, steps_per_epoch: int) -> None:
        name = self.config["lr_scheduler"]
        if name is None or self.lr_scheduler is not None:
            return
        from transformers import get_scheduler

        total = steps_per_epoch * self.epochs
        warmup = round((self.config["warmup_ratio"] or 0.0) * total)
        self.lr_scheduler = get_scheduler(name, self.optimizer, warmup, total)
        if self._lr_scheduler_state is not None:
            self.lr_scheduler.load_state_dict(self._lr_scheduler_state)
            learning_rates = self.lr_scheduler.get_last_lr()
            for group, rate in zip(self.optimizer.param_groups, learning_rates, strict=True):
                group["lr"] = rate

    def _show_speed(self, progress: tqdm, samples_per_second: float) -> None:
        text = f"{samples_per_second:.0f} samples/s"
        if self.gpu_available:
            text += f", GPU RAM: {get_gpu_usage(self.device)}"
        progress.set_postfix_str(set_color(text, "yellow"), refresh=False)

    def _call_model(self, hook: str, epoch_idx: int) -> None:
        if hasattr(self.model, hook):
            getattr(self.model, hook)(epoch_idx)

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose validation selects the model: the latest of those with the best score."""
        best = None
        for epoch, result in sorted(self.valid_results.items()):
            score = calculate_valid_score(result, self.valid_metric)
            if score == self.best_valid_score:
                best = epoch
        return best

    # ---- evaluation

    def _valid_epoch(self, valid_data, show_progress=False):
        score, result = super()._valid_epoch(valid_data, show_progress)
        self.valid_results[self._epoch_idx] = result
        return score, result

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False):
        """Evaluate on `eval_data`, as a rule with the best model that training has saved.

        Returns:
            metric name -> value, plain floats; None when there are no samples.

        Raises:
            InputError: when `model_file` is no checkpoint of this model and data set.
        """
        if not eval_data:
            return None
        if load_best_model:
            file = model_file or self.saved_model_file
            checkpoint = load_checkpoint(file, self.device)
            check_same_run(checkpoint, self.config, file)
            load_weights(self.model, checkpoint, file)
            self.logger.info(f"Loading model structure and parameters from {file}")
        with _repeatable_negatives(self.config["seed"]):
            result = super().evaluate(eval_data, load_best_model=False, show_progress=show_progress)
        lists = self.eval_collector.take_lists()
        full = isinstance(eval_data, FullSortEvalDataLoader)
        self.recommended_items = lists if full else None
        digits = self.config["metric_decimal_place"]
        return {metric: round(float(value), digits) for metric, value in result.items()}

    def _full_sort_batch_eval(self, batched_data):
        interaction, history_index, positive_u, positive_i = batched_data
        by_list = hasattr(self.model, "recommend") and history_index is None
        if not by_list or self.eval_collector.needs_all_scores:
            return super()._full_sort_batch_eval(batched_data)
        ranked = self.model.recommend(interaction.to(self.device), max(self.config["topk"]))
        return interaction, RankedItems(*ranked), positive_u, positive_i

    # ---- checkpoints

    def _save_checkpoint(self, epoch, verbose=True, saved_model_file=None) -> None:
        if not self.config["single_spec"] and self.config["local_rank"] != 0:
            return
        if epoch < 0 and self.start_epoch > 0:  # resumed at the end: what is there stays
            return
        file = saved_model_file or self.saved_model_file
        best_result = self.valid_results.get(self.best_epoch, self.best_valid_result)
        others = self.model.other_parameter() or {}
        state = {
            "config": self.config.as_dict(),
            "epoch": epoch,
            "step": self.step,
            "cur_step": self.cur_step,
            "best_valid_score": self.best_valid_score,
            "best_valid_result": best_result,  # RecBole sets its own only after saving
            "valid_results": self.valid_results,
            "train_loss_dict": self.train_loss_dict,
            "state_dict": self.model.state_dict(),
            # modules are in the state_dict already
            "other_parameter": {
                name: value
                for name, value in others.items()
                if not isinstance(value, torch.nn.Module)
            },
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        if self.lr_scheduler is not None:
            state["lr_scheduler"] = self.lr_scheduler.state_dict()
        if hasattr(self.model, "extra_checkpoint"):
            state["extra"] = self.model.extra_checkpoint()
        save_checkpoint(state, file)
        if verbose:
            self.logger.info(set_color("Saving current", "blue") + f": {file}")

    def resume_checkpoint(self, resume_file) -> None:
        """Continue from a checkpoint with the next `fit`; `resume_file` is then saved to.

        Raises:
            InputError: when it is no checkpoint of this model and data set.
        """
        checkpoint = load_checkpoint(resume_file, self.device)
        check_same_run(checkpoint, self.config, resume_file)
        load_weights(self.model, checkpoint, resume_file)
        self.saved_model_file = str(resume_file)
        self.start_epoch = checkpoint["epoch"] + 1
        self.step = checkpoint["step"]
        self.cur_step = checkpoint["cur_step"]
        self.best_valid_score = checkpoint["best_valid_score"]
        self.best_valid_result = checkpoint["best_valid_result"]
        self.valid_results = checkpoint["valid_results"]
        self.train_loss_dict = checkpoint["train_loss_dict"]
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        if checkpoint["scaler"]:
            self.scaler.load_state_dict(checkpoint["scaler"])
        self._lr_scheduler_state = checkpoint.get("lr_scheduler")
        self.logger.info(f"Checkpoint loaded. Resume training from epoch {self.start_epoch}")


def run_fingerprint(config) -> str:
    """Eight letters that differ between runs with different results to be expected."""
    settings = {k: v for k, v in config.as_dict().items() if k not in ENVIRONMENT_KEYS}
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@contextmanager
def _repeatable_negatives(seed: int) -> Iterator[None]:
    """Let every evaluation draw the same negatives (`mode: uni100`), and leave training its own."""
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(state)
