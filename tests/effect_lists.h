// Every setting must change something. These lists say where that is tested, and the tests of both
// sides compare them with the fields that exist: a new field without an effect test fails.
#pragma once

namespace fathom {

// RunConfig's fields whose effect shows without torch: sizes, costs, schedule, what decays.
// Tested by plan/effects_test.cpp and cli/effects_test.cpp.
inline constexpr const char* kPlanEffects[] = {
    "n_layer",        "n_head",          "n_embd",
    "block_size",     "vocab_size",      "bias",
    "head_bias",      "tie_head",        "dataset",
    "batch_size",     "mini_batch_size", "gradient_accumulation_steps",
    "learning_rate",  "decay_rule",      "decay_lr",
    "warmup_iters",   "warmup_form",     "lr_decay_iters",
    "min_lr",         "max_iters",       "layer_tables",
    "layer_heads",    "layer_widths",    "gate_mode",
    "layer_contexts", "halt_rule",       "layer_supervision",
};

// RunConfig's fields that only act where tensors are. Tested by train/effects_test.cpp.
inline constexpr const char* kEngineEffects[] = {
    "dropout",
    "attn_dropout",
    "residual_dropout",
    "embed_dropout",
    "norm_eps",
    "activation",
    "init",
    "sampling",
    "weight_decay",
    "beta1",
    "beta2",
    "adam_eps",
    "grad_clip",
    "eval_interval",
    "eval_iters",
    "log_interval",
    "eval_only",
    "seed",
    "device",
    "dtype",
    "threads",
    "mask_history",
    "mask_self",
    "detach_between_layers",
    "halt_threshold",
    "halt_thresholds",
    "confidence_temperature",
    "supervision_reduce",
    "skip_easy_weight",
    "checkpoint_interval",
    "keep_checkpoints",
    "nonfinite",
    "spike_sigma",
    "spike_window",
    "check_grads",
};

// The verbs' own options, as "verb key".
inline constexpr const char* kVerbPlanEffects[] = {
    "list json",
    "describe json",
    "describe config",
    "train config",
    "train run_name",
    "train out_dir",
    "train init_from",
    "train resume",
    "train checkpoint",
    "train accept_new_data",
    "train reset_history",
    "train initial_model",
    "train force",
    "prepare name",
    "prepare input",
    "prepare tokenizer",
    "prepare shard_format",
    "prepare val_fraction",
    "prepare shard_tokens",
    "prepare force",
    "prepare url",
    "prepare timeout",
    "prepare json",
    "eval checkpoint",
    "generate checkpoint",
    "generate window",
    "generate pinned",
    "generate overflow",
    "generate do_sample",
    "generate top_p",
    "generate min_p",
    "generate repetition_penalty",
    "generate start",
    "export metrics",
    "export output",
    "doctor json",
};

inline constexpr const char* kVerbEngineEffects[] = {
    "train quiet",          "eval device",      "eval threads",         "eval split",
    "eval dataset",         "eval batch_size",  "eval max_batches",     "eval json",
    "generate device",      "generate threads", "generate num_samples", "generate max_new_tokens",
    "generate temperature", "generate top_k",   "generate seed",        "generate exit",
    "eval threshold",       "eval thresholds",  "generate threshold",   "generate thresholds",
};

}  // namespace fathom
