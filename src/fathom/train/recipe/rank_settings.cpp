#include "fathom/train/recipe/rank_settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/train/recipe/optimizer_rules.h"

namespace fathom {
namespace {

// Weights that answer, and are not the parameters.
bool keeps_weights(const OptimizerRule& rule) {
  const std::vector<StateTensor> state = rule.state({"w", {2, 2}, Part::kMlp, zeros_init(), {}});
  return std::any_of(state.begin(), state.end(), [](const StateTensor& t) { return t.swaps; });
}

}  // namespace

void add_fields(FieldList& list, RankSettings& c) {
  list.add<Precision>("reduce_dtype", c.reduce_dtype,
                      "of gradients on their way between ranks: bfloat16 is half as much to send, "
                      "and rounded",
                      {{"float32", Precision::kFloat32}, {"bfloat16", Precision::kBFloat16}});
  list.add("shard_optimizer", c.shard_optimizer,
           "each rank keeps its part of what the optimiser keeps and sends the updated weights: "
           "less memory, the same numbers");
}

void require_shares(const RunConfig& config, const RankSettings& settings, int64_t ranks) {
  if (ranks == 1) return;
  const DataConfig& d = config.data;
  const int64_t micro = config.micro_batch_size();
  const int64_t passes = (config.sequences_per_step() + micro - 1) / micro;
  if (passes % ranks != 0) {
    const std::string split =
        d.mini_batch_size
            ? fmt::format("batch_size = {} and mini_batch_size = {}", d.batch_size,
                          *d.mini_batch_size)
            : fmt::format("gradient_accumulation_steps = {}", d.gradient_accumulation_steps);
    const int64_t next = (passes + ranks - 1) / ranks * ranks;
    misuse(fmt::format("a step of {} has {}, which {} ranks (nproc) cannot share equally", split,
                       counted(passes, "pass", "passes"), ranks),
           d.mini_batch_size
               ? fmt::format("a smaller mini_batch_size, for {} passes", next)
               : fmt::format("--gradient_accumulation_steps={}: each rank makes {} of them", next,
                             next / ranks));
  }
  const OptimizerRule& rule = optimizer_rule(config.optimizer.optimizer);
  if (settings.shard_optimizer && keeps_weights(rule))
    misuse(fmt::format("shard_optimizer = True: {} keeps the weights that answer, which every rank "
                       "needs whole",
                       rule.title),
           "leave it out, or take another optimizer");
}

}  // namespace fathom
