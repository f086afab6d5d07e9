// What the trainer does about what its guards find.
#include <fmt/format.h>

#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/train/trainer.h"

namespace fathom {
namespace {

// So many steps skipped one after the other, or returns to a checkpoint, and training is not going
// anywhere.
constexpr int64_t kMaxSkippedInARow = 10, kMaxFruitlessRollbacks = 10;

}  // namespace

bool Trainer::is_spike(double objective, double gradient_norm) const {
  const double sigma = config_.guards.spike_sigma;
  return sigma > 0 && (state_.losses.score(objective) > sigma ||
                       state_.gradient_norms.score(gradient_norm) > sigma);
}

void Trainer::handle(const Trouble& trouble, const StepData& data, const TrainerEvents& events) {
  suspect_ = true;
  if (resumed_from_.empty()) begin(events);  // the batch is kept in the run's folder
  std::string what = fmt::format("step {}: {}", state_.step + 1, trouble.what);
  if (!folder_.empty() && !data.batches.empty())
    what += "; the batch is in " +
            dump_batch(folder_, state_,
                       ranks_->is_alone() ? data.batches : draw_step(/*whole=*/true).batches,
                       trouble.what);
  what = ranks_->broadcast(what);  // that all of them end with the same words
  // Leaving a batch out does not mend a weight.
  if (config_.guards.nonfinite == Nonfinite::kSkip && !trouble.in_weights)
    return skip_step(what, data, events);
  if (config_.guards.nonfinite == Nonfinite::kRollback) return roll_back(what, data, events);
  if (saved_step_ < 0)
    fail(what, trouble.in_weights
                   ? "begin again with a lower learning_rate or a longer warmup_iters"
                   : "a lower learning_rate or a longer warmup_iters usually helps; "
                     "--nonfinite=skip leaves such steps out");
  what += fmt::format("; the newest checkpoint is of step {}", saved_step_);
  fail(what, trouble.in_weights
                 ? "go on from it with --resume and a lower learning_rate or a longer warmup_iters"
                 : "a lower learning_rate or a longer warmup_iters usually helps, also with "
                   "--resume; --nonfinite=skip leaves such steps out, --nonfinite=rollback returns "
                   "to the last checkpoint");
}

void Trainer::skip_step(const std::string& why, const StepData& data, const TrainerEvents& events) {
  ++state_.skipped_steps;
  if (++skipped_in_a_row_ > kMaxSkippedInARow) {
    suspect_ = true;
    fail(fmt::format("{}; {} steps in a row were skipped", why, kMaxSkippedInARow),
         "the run does not recover by itself: resume it from an earlier --checkpoint with a lower "
         "learning_rate, or a larger spike_sigma where that was the reason");
  }
  count_step(data);
  begin(events);
  if (events.notice) events.notice(why + "; the step was skipped");
}

// As rank 0 finds it, whose folder it is. The others are told its name there: their machine may
// have the run at another path.
std::optional<CheckpointChoice> Trainer::newest_of_folder() const {
  std::optional<CheckpointChoice> choice;
  if (!folder_.empty()) choice = newest_complete(folder_ + "/checkpoints");
  if (ranks_->is_alone()) return choice;
  const std::string name =
      ranks_->broadcast(choice ? std::filesystem::path(choice->folder).filename().string() : "");
  const double step = ranks_->broadcast(choice ? static_cast<double>(choice->step) : 0);
  if (ranks_->is_first() || name.empty()) return choice;
  return CheckpointChoice{read_folder_ + "/checkpoints/" + name, static_cast<int64_t>(step), {}};
}

// To the newest complete checkpoint, but not to its place in the data: the batch is not met again.
void Trainer::roll_back(const std::string& why, const StepData& data, const TrainerEvents& events) {
  const int64_t rollbacks = state_.rollbacks + 1, skipped_steps = state_.skipped_steps;
  std::optional<CheckpointChoice> choice;
  if (!begun_ && !resumed_from_.empty())  // newer ones have not been set aside
    choice = CheckpointChoice{resumed_from_, saved_step_, {}};
  else if (is_saved_)
    choice = newest_of_folder();
  if (!choice || ++fruitless_rollbacks_ > kMaxFruitlessRollbacks)
    fail(fmt::format("{}; {}", why,
                     choice ? fmt::format("{} returns to step {} did not help",
                                          kMaxFruitlessRollbacks, choice->step)
                            : "there is no checkpoint to return to"),
         choice ? "resume the run with a lower learning_rate"
                : "begin again with a lower learning_rate");
  const std::string stage = state_.stage;
  resume(choice->folder);
  state_.best_value = ranks_->broadcast(state_.best_value);
  // A checkpoint of the stage before is returned to where weights were not finite when this one
  // began, before a batch of it was drawn.
  if (state_.stage == stage) state_.cursor = data.after;
  state_.rollbacks = rollbacks;
  state_.skipped_steps = skipped_steps;
  suspect_ = false;
  if (events.rollback) events.rollback(state_.step);
  if (events.notice)
    events.notice(fmt::format("{}; back to step {} of {}", why, state_.step, choice->folder));
}

}  // namespace fathom
