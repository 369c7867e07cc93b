"""Keys of older RecBole, which documents and users' files still hold, and what took their place.

The names are those of RecBole 0.1 to 1.0, from its documentation of those versions.
"""

_NEGATIVES = "train_neg_sample_args, such as {distribution: uniform, sample_num: 1}, or None"
_COUNTS = 'user_inter_num_interval and item_inter_num_interval, such as "[5,inf)"'
_VALUES = 'val_interval, such as {rating: "[3,inf)"}'
_DEVICE = "use_gpu, gpu_id"

OLD_KEYS = {
    "neg_sampling": _NEGATIVES,
    "training_neg_sample_num": _NEGATIVES,
    "training_neg_sample_distribution": _NEGATIVES,
    "eval_setting": "eval_args, such as {split: {LS: valid_and_test}, order: TO, mode: full}",
    "eval_type": "eval_args with its mode, and metrics",
    "group_by_user": "eval_args with group_by: user",
    "split_ratio": "eval_args with split: {RS: [0.8, 0.1, 0.1]}",
    "leave_one_num": "eval_args with split: {LS: valid_and_test}",
    "real_time_process": "nothing: all data sets are read as they are asked for",
    "device": _DEVICE,
    "multi_gpus": "nproc, the number of processes, and gpu_id",
    "min_user_inter_num": _COUNTS,
    "max_user_inter_num": _COUNTS,
    "min_item_inter_num": _COUNTS,
    "max_item_inter_num": _COUNTS,
    "lowest_val": _VALUES,
    "highest_val": _VALUES,
    "equal_val": _VALUES,
    "not_equal_val": _VALUES,
    "drop_filter_field": "unload_col",
    "drop_preload_weight": "unload_col",
    "fields_in_same_space": "alias_of_user_id, alias_of_item_id",
}
