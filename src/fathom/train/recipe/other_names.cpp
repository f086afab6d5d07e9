#include "fathom/train/recipe/other_names.h"

#include <fmt/format.h>

#include <utility>

#include "fathom/train/recipe/registry.h"

namespace fathom {

const std::vector<OtherName>& other_names() {
  static const std::vector<OtherName> all = [] {
    std::vector<OtherName> names;
    const auto add = [&](const std::vector<const char*>& theirs, const std::string& ours,
                         const std::string& hint) {
      for (const char* name : theirs) names.push_back({name, ours, hint});
    };
    const auto key = [&](const std::string& ours, const std::vector<const char*>& theirs) {
      add(theirs, ours, "here that is {}" + ours);
    };
    key("n_layer", {"layers", "num_layers", "num_hidden_layers"});
    key("n_head", {"heads", "num_attention_heads"});
    key("n_embd", {"d_model", "dim", "hidden_size", "model_dim"});
    key("block_size", {"context_length", "context_size", "n_ctx", "seq_len", "seq_length"});
    key("batch_size", {"batch", "bs", "per_device_train_batch_size"});
    key("gradient_accumulation_steps", {"accumulation_steps", "grad_accum", "grad_accum_steps"});
    key("max_iters", {"iterations", "max_steps", "num_steps", "steps", "train_steps"});
    key("eval_interval", {"eval_every", "eval_steps"});
    key("checkpoint_interval", {"checkpoint_every", "save_every", "save_steps"});
    key("dtype", {"bf16", "fp16", "mixed_precision", "precision"});
    key("halt_threshold", {"exit_threshold"});
    key("nproc", {"gpus", "n_gpus", "num_gpus", "num_processes"});
    add({"epochs", "num_epochs", "num_train_epochs"}, "max_iters",
        "a run lasts {}max_iters steps; stages of a training plan may last epochs");
    add({"resume_from", "resume_from_checkpoint"}, "",
        "`fathom train --run_name=NAME --resume` goes on with a run, `--initial_model=NAME` starts "
        "from its weights");
    add({"max_new_tokens", "num_samples", "prompt", "start", "temperature", "top_k", "top_p"}, "",
        "`fathom generate RUN` has that key, and writes with a trained model");
    return names;
  }();
  return all;
}

void explain_other_names(FieldList& list, std::function<bool(const Field&)> takes) {
  list.explain_unknown([takes = std::move(takes)](const FieldList& asked, const std::string& key,
                                                  bool typed) -> std::string {
    if (std::string presets = presets_with_key(key); !presets.empty()) return presets;
    for (const OtherName& other : other_names()) {
      if (other.name != key) continue;
      const Field* ours = asked.find(other.key);
      const bool is_there = ours != nullptr && (!takes || takes(*ours));
      if (!other.key.empty() && !is_there) return "";
      return fmt::format(fmt::runtime(other.hint), typed ? "--" : "");
    }
    return "";
  });
}

}  // namespace fathom
