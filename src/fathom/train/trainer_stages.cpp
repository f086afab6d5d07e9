// What the trainer draws its steps from, stage by stage.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/in_batches.h"
#include "fathom/train/recipe/due.h"
#include "fathom/train/recipe/freeze.h"
#include "fathom/train/recipe/schedule.h"
#include "fathom/train/recipe/stage_data.h"
#include "fathom/train/trainer.h"

namespace fathom {
namespace {

int64_t token_count(const TokenBatch& batch) {
  const Column* valid = batch.find("valid");
  if (valid == nullptr) return batch.B * batch.T;
  const WholeNumbers& there = std::get<WholeNumbers>(valid->values);
  return std::count(there.begin(), there.end(), 1);
}

}  // namespace

Trainer::StepData Trainer::draw_step(bool whole) const {
  const int64_t sequences = config_.sequences_per_step(), micro = config_.micro_batch_size();
  StepData data;
  data.after = config_.data.fresh_rows ? source_->next_sample(state_.cursor) : state_.cursor;
  int64_t pass = 0;
  for (int64_t first = 0; first < sequences; first += micro, ++pass) {
    Drawn drawn = take(*source_, std::min(micro, sequences - first), data.after);
    data.after = std::move(drawn.after);
    data.samples += drawn.samples;
    data.tokens += token_count(drawn.batch);
    if (!whole && pass % ranks_->size() != ranks_->rank()) continue;
    data.batches.push_back(to_batch(drawn.batch, device_));
    data.firsts.push_back(first);
  }
  return data;
}

void Trainer::count_step(const StepData& data) {
  state_.cursor = data.after;
  ++state_.step;
  Progress& p = state_.progress;
  p.samples_before = p.samples;
  p.samples += data.samples;
  p.tokens += data.tokens;
}

// The part of the present stage's budget that is done.
double Trainer::stage_done() const {
  return done(stage().budget, stage_step(), since(state_.stage_start, state_.progress),
              source_->samples());
}

// By what was done in the stage. Where one begins the one before has just been evaluated.
bool Trainer::is_evaluation_due() const {
  if (stage_step() == 0 && state_.step > 0) return false;
  return evaluation_due(config_, stage_step(), since(state_.stage_start, state_.progress));
}

double Trainer::learning_rate() const {
  std::optional<double> part;
  if (stage().budget.unit != Budget::Unit::kSteps) part = stage_done();
  return learning_rate_at(config_, stage_step(), part) *
         optimizer_warmup(config_.optimizer, optimizer_->steps());
}

// Its settings and its data; where in them the run stands is the caller's.
void Trainer::enter_stage(size_t stage) {
  const StageRun& entered = plan_.stages[stage];
  stage_ = stage;
  config_ = entered.config;
  policy_.reset();
  if (!pass_alike(config_.model, plan_.stages.front().config.model))
    policy_ = make_policy(config_.model);
  source_ = training_data(entered);
  std::vector<ParameterSpec> table;
  for (const Parameter& p : model_->parameters().all()) table.push_back(p.spec);
  model_->parameters().freeze(frozen_parameters(config_.optimizer, table));
  if (optimizer_ == nullptr)
    optimizer_ = std::make_unique<Optimizer>(model_->parameters(), config_.optimizer);
  else
    optimizer_->configure(model_->parameters(), config_.optimizer);
  spectral_ = SpectralControl(model_->parameters(), *optimizer_, config_.spectral,
                              config_.optimizer.muon_ns_steps);
  state_.config = config_;
  state_.best_metric = best_series();
  state_.stage = entered.name;
  state_.cursor = source_->start();
  state_.corpus_fingerprint = fingerprint(entered.corpora);
  state_.losses = state_.losses.resized(config_.guards.spike_window);
  state_.gradient_norms = state_.gradient_norms.resized(config_.guards.spike_window);
}

// The stage in which a checkpoint was written.
void Trainer::enter_stage_of(const std::string& name) {
  std::vector<std::string> names;
  for (size_t i = 0; i < plan_.stages.size(); ++i) {
    if (plan_.stages[i].name == name) return enter_stage(i);
    names.push_back(plan_.stages[i].name);
  }
  // A run that had no plan, or has none any more, is in the only stage there is.
  if (plan_.stages.size() == 1 && (name.empty() || plan_.written == nullptr)) return enter_stage(0);
  misuse(fmt::format("the run is in the stage {} of its training plan, and the plan of now has {}",
                     in_quotes(name), fathom::join(names, ", ")),
         "a plan that a run goes on with keeps the name of the stage where it stands");
}

// What a stage ends with is kept under its name; the next one begins with the same weights, moments
// and steps, and with data, schedule and best evaluation of its own.
void Trainer::next_stage(const TrainerEvents& events) {
  if (!suspect_) save(stage_checkpoint(state_.stage));
  const RunState before = state_;
  enter_stage(stage_ + 1);
  // The same data is read on.
  if (reads_alike(before, state_)) state_.cursor = before.cursor;
  state_.stage_start_step = state_.step;
  state_.stage_start = state_.progress;
  if (!compares(before, state_)) {
    state_.best_value = std::numeric_limits<double>::infinity();
    state_.evaluated_step = -1;
    state_.losses = state_.gradient_norms = OutlierWindow(config_.guards.spike_window);
  }
  if (events.stage) events.stage(stage());
}

}  // namespace fathom
