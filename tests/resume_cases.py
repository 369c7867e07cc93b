"""Tiny models of several kinds, for the tests that interrupt their training."""

from tests.small import SMALL_T5

SASREC = {"n_layers": 1, "hidden_size": 16, "inner_size": 16}
T5 = {
    "item_text_fields": ["title", "brand"],
    "codebook_sizes": [6, 6],
    "collision": "append",
    "append_size": 41,
    "text_embedding_dim": None,
    "tokenizer_epochs": 2,
    "tokenizer_hidden_sizes": [8],
    "tokenizer_code_dim": 4,
    **SMALL_T5,
    "beam_size": 10,
    "train_batch_size": 32,
    "eval_batch_size": 64,
}
ITEMS = {"item_text_fields": ["title", "brand"], "text_embedding_dim": 4}
SETTINGS = {
    "SASRec": {**SASREC, "lr_scheduler": "linear", "warmup_ratio": 0.2, "train_batch_size": 32},
    "BSARec": {**SASREC, "train_batch_size": 32},
    "SASRecOnePass": {**SASREC, "train_batch_size": 32},
    "SASRecRepeatBias": {**SASREC, "repeat_bias": "fitted", "train_batch_size": 32},
    "BPR": {"embedding_size": 8, "train_batch_size": 32},  # draws negatives
    "BERT4Rec": {**SASREC, "transform": "mask_itemseq", "train_batch_size": 32},  # draws masks
    "RecVAE": {"hidden_dimension": 8, "latent_dimension": 8},  # two optimizers in turn
    "Pop": {},
    "TIGER": {**T5, "tokenizer": "RQKMeans"},
    "TIGERTokenWeighted": {
        **T5,
        "tokenizer": "RQKMeans",
        "train_batch_size": 16,
        "gradient_accumulation_steps": 2,
    },
    "DiscRec": {**T5, "tokenizer": "RQKMeans", "item_num_heads": 2, "item_d_ff": 8},
    "ETEGRec": {
        **T5,
        "gradient_accumulation_steps": 1,
        "epochs": 4,
        "alignment_warmup_epochs": 1,
        "joint_tokenizer_learning_rate": 0.05,  # high enough to move codes within an epoch
        "finetune_epochs": 2,
        "teacher_epochs": 1,
        "teacher_hidden_size": 8,
        "teacher_config": {"n_layers": 1, "inner_size": 8},
    },
    "LETTER": {
        **T5,
        "tokenizer_clusters": 2,
        "tokenizer_cluster_sizes": [2, 4],
        "collision": "append",
        "teacher_epochs": 1,
        "teacher_hidden_size": 4,
        "teacher_config": {"n_layers": 1, "inner_size": 8},
    },
    "EAGER": {
        **ITEMS,
        "codebook_sizes": [7, 7],
        "tokenizer_kmeans_iterations": 5,
        "teacher_epochs": 1,
        "teacher_hidden_size": 8,
        "teacher_config": {"n_layers": 1, "inner_size": 8},
        "d_model": 8,
        "d_ff": 8,
        "num_heads": 2,
        "d_kv": 4,
        "num_decoder_layers": 1,
        "beam_size": 10,
        "candidates": 5,
        "contrast_negatives": 20,
        "train_batch_size": 32,
    },
    "RPG": {
        **ITEMS,
        "codebook_sizes": [8, 8],
        "hidden_size": 8,
        "inner_size": 8,
        "n_layers": 1,
        "n_heads": 2,
        "train_batch_size": 8,
    },
    "SemanticSASRec": {
        **ITEMS,
        "tokenizer": "RQKMeans",
        "codebook_sizes": [8, 8],
        "hidden_size": 8,
        "inner_size": 8,
        "n_layers": 1,
        "memory_steps": 2,
        "train_batch_size": 8,
    },
    "TransitionGraph": ITEMS,
    "UniGRec": {
        **T5,
        "finetune_epochs": 2,
        "joint_tokenizer_learning_rate": 0.05,  # high enough to move codes within an epoch
        "distillation_warmup_epochs": 1,
        "teacher_epochs": 1,
        "teacher_hidden_size": 8,
        "teacher_config": {"n_layers": 1, "inner_size": 8},
    },
}
