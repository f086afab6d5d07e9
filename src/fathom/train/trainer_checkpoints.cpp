// What the trainer saves, and what it goes on from.
#include <fmt/format.h>

#include <filesystem>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/train/guards.h"
#include "fathom/train/recipe/due.h"
#include "fathom/train/together.h"
#include "fathom/train/trainer.h"

namespace fathom {
namespace {

// One NaN, and the first update makes the weights NaN. (An infinite second moment is only slow.)
void require_numbers(const Optimizer& optimizer, const std::string& checkpoint) {
  for (const Optimizer::State& state : optimizer.state())
    for (const Tensor& t : state.tensors)
      if (!state.frozen && !state.elsewhere && t.ne(t).any().item<bool>())
        fail(fmt::format("{} cannot be used: the optimizer's state of {} is NaN", checkpoint,
                         state.name),
             "go on from an earlier one by --checkpoint; --ignore_optimizer goes on without it");
}

}  // namespace

void Trainer::resume(const std::string& checkpoint, ResumeOptions options) {
  // First: what there is to load depends on the stage's optimiser and on what it freezes.
  if (options.reset_history)
    enter_stage(0);
  else
    enter_stage_of(load_state(checkpoint).stage);
  const RunState saved = load_checkpoint(checkpoint, model_->parameters(), *optimizer_);
  require_finite_weights(
      *model_, checkpoint,
      "go on from an earlier one by --checkpoint; a run's own guards never save such weights");
  if (options.new_optimizer)
    optimizer_->reset();
  else
    require_numbers(*optimizer_, checkpoint);
  RunState state = saved;
  state.config = config_;
  state.stage = state_.stage;
  state.plan = state_.plan;
  state.optimizer_steps = optimizer_->steps();
  state.corpus_fingerprint = state_.corpus_fingerprint;
  // A run whose best was the least objective goes on so: the numbers compare, and what is kept as
  // the best of it stays until there is a better one.
  if (saved.best_metric != eval_series("val", "objective")) state.best_metric = state_.best_metric;
  // What the weights were trained to read stays known, whatever they read next.
  if (saved.tokenizer == nullptr) state.tokenizer = state_.tokenizer;
  state.losses = saved.losses.resized(config_.guards.spike_window);
  state.gradient_norms = saved.gradient_norms.resized(config_.guards.spike_window);
  if (options.new_data) {
    state.cursor = source_->start();
    state.losses = state.gradient_norms = OutlierWindow(config_.guards.spike_window);
  }
  if (!compares(saved, state)) {
    state.best_metric = state_.best_metric;
    state.best_value = std::numeric_limits<double>::infinity();
    state.evaluated_step = -1;
  }
  resumed_from_ = checkpoint;
  goes_on_unchanged_ = !options.new_data && !options.reset_history && !options.new_optimizer &&
                       changes(saved.config, config_).empty();
  if (options.reset_history) {
    state_.optimizer_steps = state.optimizer_steps;
    state_.tokenizer = state.tokenizer;
    return;  // the rest is as a new run's
  }
  state_ = std::move(state);
  saved_step_ = state_.step;
  // Whoever ended there went on to show it, where the end has a sample.
  const bool is_shown = state_.evaluated_step == state_.step && last_sample_due(config_.training);
  sampled_step_ = is_shown ? state_.step : -1;
  take_best_of_folder();
}

// `last` was saved before the evaluation that made `best`. Where that evaluation will not be made
// again, its value must not be forgotten, or a worse model would take its place.
void Trainer::take_best_of_folder() {
  const std::string path = folder_ + "/checkpoints/best";
  if (folder_.empty() || !std::filesystem::exists(folder_to_read(path))) return;
  try {
    const RunState best = load_state(path);
    const bool is_evaluated_again = is_evaluation_due();
    if (compares(best, state_) && best.step <= state_.step - (is_evaluated_again ? 1 : 0))
      state_.best_value = std::min(state_.best_value, best.best_value);
  } catch (const Error&) {  // damaged: the next best one takes its place
  }
}

std::vector<std::string> Trainer::start_from(const std::string& checkpoint,
                                             const std::set<std::string>& begin_anew) {
  std::vector<std::string> missing = load_parameters(checkpoint, model_->parameters(), begin_anew);
  require_finite_weights(*model_, checkpoint,
                         "--initial_model takes the folder of another checkpoint too");
  if (state_.tokenizer == nullptr) state_.tokenizer = load_state(checkpoint).tokenizer;
  return missing;
}

TakenPart Trainer::take_part(const std::string& checkpoint, const TensorNames& names) {
  TakenPart taken = load_part(checkpoint, names, model_->parameters());
  require_finite_weights(*model_, checkpoint, "take the part of another checkpoint");
  return taken;
}

void Trainer::prune() {
  if (config_.training.keep_checkpoints && !folder_.empty())
    prune_numbered(folder_ + "/checkpoints", *config_.training.keep_checkpoints);
}

void Trainer::save(const std::string& name) {
  if (!is_saved_) return;
  state_.optimizer_steps = optimizer_->steps();
  state_.moments_begun = optimizer_->begun();
  std::vector<Optimizer::State> whole;
  if (is_sharded()) whole = whole_state(*ranks_, *optimizer_);
  std::unique_ptr<CheckpointWriter> checkpoint;
  if (!folder_.empty()) {
    make_folders(folder_ + "/checkpoints");  // whoever removed it did not mean the next one
    checkpoint = std::make_unique<CheckpointWriter>(folder_ + "/checkpoints/" + name);
    write_checkpoint(*checkpoint, state_, model_->parameters(), *optimizer_,
                     is_sharded() ? &whole : nullptr);
  }
  if (!begun_) {
    waiting_[name] = std::move(checkpoint);
    waiting_step_ = state_.step;
  } else {
    if (checkpoint != nullptr) checkpoint->commit();
    if (state_.step > saved_step_) fruitless_rollbacks_ = 0;
    saved_step_ = state_.step;
  }
  ranks_->await_first();
}

// `last`, and at every checkpoint_interval one that is kept under its number. Not what cannot be
// returned to: weights that are not finite, or whose last loss was not. False: the weights were not
// finite, and the run is back at a checkpoint.
bool Trainer::save_last(const TrainerEvents& events) {
  if (const auto trouble = find_trouble_in_weights(*model_)) {
    handle(*trouble, {{}, {}, state_.cursor}, events);
    return false;
  }
  if (suspect_) return true;
  save("last");
  if (!is_saved_ || !numbered_due(config_, state_.step)) return true;
  save(numbered_name(state_.step));
  if (begun_) prune();
  return true;
}

// After an error that is not the weights' fault: a full run store, data that vanished, no memory, a
// rank that was lost.
void Trainer::save_what_is_left() noexcept {
  try {
    // Of what the others keep nothing can be asked any more, nor of rank 0 that it writes.
    if (is_sharded() || !ranks_->is_first()) return;
    if (!suspect_ && !between_states_ && state_.step > saved_step_ &&
        !find_trouble_in_weights(*model_))
      save("last");
  } catch (const std::exception&) {  // the one before stays
  }
}

}  // namespace fathom
