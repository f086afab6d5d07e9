// How trainers of several processes make one run.
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/io/json_text.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/together.h"
#include "fathom/train/trainer.h"
#include "fathom/train/trainer_sums.h"

namespace fathom {

void Trainer::join(std::shared_ptr<Ranks> ranks, const RankSettings& settings) {
  ranks_ = std::move(ranks);
  rank_settings_ = settings;
  if (ranks_->is_alone()) return;
  for (const StageRun& stage : plan_.stages) require_shares(stage.config, settings, ranks_->size());
  if (is_sharded()) optimizer_->shard(ranks_->rank(), ranks_->size());
  std::vector<Tensor> tensors;
  for (const Parameter& p : model_->parameters().all()) tensors.push_back(p.tensor);
  gradients_ = std::make_unique<GradientSum>(*ranks_, std::move(tensors), settings.reduce_dtype);
}

// Before the first step: that it is one run, and what rank 0 alone knows of it.
void Trainer::agree() {
  if (ranks_->is_alone()) {
    is_saved_ = !folder_.empty();
    return;
  }
  Agreement agreement = agreement_of(plan_, rank_settings_);
  for (const StageRun& stage : plan_.stages)
    agreement.emplace_back("the fingerprint of the training data", fingerprint(stage.corpora));
  agreement.emplace_back("the step", std::to_string(state_.step));
  agreement.emplace_back("the place in the training data", json_text(state_.cursor));
  agreement.emplace_back("the XXH3 of the weights", hash_of(model_->parameters()));
  require_alike(*ranks_, agreement);
  is_saved_ = ranks_->any(!folder_.empty());
  state_.best_value = ranks_->broadcast(state_.best_value);
}

// What is not known of the step's losses before its passes, for all ranks as soon as one of them
// needs it: none of them knows what the others meet.
bool Trainer::count_together(const ModelOutput& first, const StepData& data,
                             const TrainerEvents& events, StepSums& step) const {
  const bool lacks = std::any_of(first.losses.begin(), first.losses.end(),
                                 [&](const LossPart& part) { return !step.has(part); });
  if (!ranks_->any(lacks)) return true;
  if (data.batches.size() > 1) return count_targets(data, events, step);
  StepSums found;
  for (const LossPart& part : first.losses) found.add(part);
  sum_over(*ranks_, found);
  step.merge(found);
  return true;
}

// Of this rank's passes to those of all of them, gradients included.
void Trainer::add_up(Accumulated& sums) {
  gradients_->finish();
  std::map<std::string, double> numbers = {
      {"objective", sums.objective},   {"passes", static_cast<double>(sums.passes)},
      {"answer.sum", sums.answer.sum}, {"answer.count", sums.answer.count},
      {"flops", sums.flops},           {"others", sums.optimises_its_loss ? 0 : 1},
  };
  for (const auto& [name, metric] : sums.metrics) {
    numbers["sum:" + name] = metric.sum;
    numbers["count:" + name] = metric.count;
  }
  for (const auto& [name, value] : sums.parts) numbers["part:" + name] = value;
  for (const auto& [name, count] : sums.had) numbers["had:" + name] = count;
  numbers = ranks_->sum(numbers);
  sums.objective = numbers.at("objective");
  sums.passes = static_cast<size_t>(numbers.at("passes"));
  sums.answer = {numbers.at("answer.sum"), numbers.at("answer.count")};
  sums.flops = numbers.at("flops");
  sums.optimises_its_loss = numbers.at("others") == 0;
  for (const auto& [key, value] : numbers) {
    const size_t colon = key.find(':');
    if (colon == std::string::npos) continue;
    const std::string kind = key.substr(0, colon), name = key.substr(colon + 1);
    if (kind == "sum") sums.metrics[name].sum = value;
    if (kind == "count") sums.metrics[name].count = value;
    if (kind == "part") sums.parts[name] = value;
    if (kind == "had") sums.had[name] = value;
  }
}

}  // namespace fathom
