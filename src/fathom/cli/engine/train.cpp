// `fathom train`: a run folder, the run store, the console, and the trainer between them.
#include <fmt/format.h>

#include <cstdio>

#include "fathom/base/error.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/config/config_file.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/model/device.h"
#include "fathom/track/metric_text.h"
#include "fathom/track/process_use.h"
#include "fathom/track/progress.h"
#include "fathom/track/run_folder.h"
#include "fathom/track/run_store.h"
#include "fathom/track/tensorboard.h"
#include "fathom/track/terminal.h"
#include "fathom/train/trainer.h"

namespace fathom {
namespace {

std::string resolved_config(RunConfig config) {
  FieldList list;
  add_fields(list, config);
  return fmt::format("# {}, as resolved\n{}", config.preset, to_toml(list));
}

std::vector<std::string> evaluation_lines(const EvalReport& r) {
  std::vector<std::string> lines = {
      fmt::format("step {}: train loss {:.4f}, val loss {:.4f} (+-{:.4f}), val accuracy {:.3f}{}",
                  with_commas(r.step), r.train.loss, r.val.loss, r.val.standard_error,
                  r.val.accuracy(), r.best && r.step > 0 ? ", best so far" : "")};
  // A model with one reading has said everything.
  if (r.val.metrics.size() > 2) lines.push_back("  val: " + metrics_text(r.val.metrics));
  return lines;
}

// What a run says and stores. Quiet silences the console, not the store.
class Reporter {
 public:
  // `state`: where the run begins or goes on.
  Reporter(const TrainRequest& request, const RunState& state, const std::string& folder,
           RunStore& store, RunHandle run)
      : request_(request),
        folder_(folder),
        best_metric_(state.best_metric),
        store_(store),
        run_(run),
        events_(folder + "/tensorboard", state.step),
        quiet_(request.options.quiet),
        log_interval_(request.config.training.log_interval),
        progress_(
            ProgressOptions::for_stream(stdout, request.config.training.max_iters, state.step)) {
    if (state.step > 0) repeat_step(state.step);
  }

  void on_step(const StepReport& r) {
    // A short window's speed, so that the number moves with the machine but does not flicker.
    const double speed = static_cast<double>(r.tokens) / r.seconds;
    speed_ = speed_ == 0 ? speed : 0.9 * speed_ + 0.1 * speed;
    const bool log_step = r.step % log_interval_ == 0 || r.step == 1;
    if (log_step) {
      std::vector<MetricValue> values = {{"train/loss", r.loss},
                                         {"train/gradient_norm", r.gradient_norm},
                                         {"train/learning_rate", r.learning_rate},
                                         {"train/tokens_per_s", speed_}};
      for (const auto& [name, value] : r.metrics) values.push_back({"train/" + name, value});
      const ProcessUse use = meter_.read();
      values.push_back({"process/cpu_share", use.cpu_share});
      values.push_back({"process/rss_bytes", use.rss_bytes});
      values.push_back({"process/peak_rss_bytes", use.peak_rss_bytes});
      add(r.step, values);
    }
    if (quiet_) return;
    progress_.update({r.step, r.loss, speed_, {{"lr", fmt::format("{:.2e}", r.learning_rate)}}},
                     log_step);
  }

  void on_evaluation(const EvalReport& r) {
    std::vector<MetricValue> values = {{"eval/train/loss", r.train.loss},
                                       {"eval/val/loss", r.val.loss},
                                       {"eval/val/standard_error", r.val.standard_error}};
    for (const auto& [name, value] : r.train.metrics)
      values.push_back({"eval/train/" + name, value});
    for (const auto& [name, value] : r.val.metrics) values.push_back({"eval/val/" + name, value});
    add(r.step, values);
    if (r.best) store_.set_best(run_, best_metric_, r.step, r.best_value);
    last_ = r;
    if (quiet_) return;
    for (const std::string& line : evaluation_lines(r)) progress_.print(line);
  }

  void on_notice(const std::string& notice) { progress_.print("note: " + notice); }

  // The numbers after `step` are of weights that are no more.
  void on_rollback(int64_t step) {
    store_.reopen_run(request_.options.run_name, resolved_config(request_.config), step);
    events_ = TensorBoardWriter(folder_ + "/tensorboard", step + 1);
  }

  void interrupted(int64_t saved_step) {
    if (!quiet_) progress_.finish();
    fmt::print(
        "{}: interrupted; saved at step {}. To go on:\n  fathom train {} --run_name={} --resume\n",
        request_.options.run_name, with_commas(saved_step), request_.config.preset,
        request_.options.run_name);
  }

  void finish(const std::string& name) {
    if (!quiet_) progress_.finish();
    fmt::print("{}: val loss {:.4f} after {} steps in {}\n", name, last_.val.loss,
               with_commas(last_.step), human_duration(progress_.elapsed()));
  }

 private:
  // TensorBoard forgets what it had from the first new step on: that of the checkpoint itself,
  // whose evaluation may be made once more. Its other numbers are in the store.
  void repeat_step(int64_t step) {
    std::vector<MetricValue> values;
    for (const std::string& metric : store_.metric_names(request_.options.run_name)) {
      if (metric.rfind("eval/", 0) == 0) continue;
      const std::vector<Point> points = store_.series(request_.options.run_name, metric);
      if (!points.empty() && points.back().step == step)
        values.push_back({metric, points.back().value});
    }
    events_.add(step, values);
  }

  void add(int64_t step, const std::vector<MetricValue>& values) {
    store_.add(run_, step, values);
    events_.add(step, values);
  }

  const TrainRequest& request_;
  std::string folder_;
  std::string best_metric_;
  RunStore& store_;
  RunHandle run_;
  TensorBoardWriter events_;
  ProcessMeter meter_;
  bool quiet_;
  int64_t log_interval_;
  ProgressLine progress_;
  double speed_ = 0;
  EvalReport last_;
};

void print_header(const TrainRequest& request, const Trainer& trainer, int threads,
                  const Style& style) {
  for (const std::string& notice : request.notices) fmt::print("note: {}\n", notice);
  const RunConfig& c = request.config;
  if (request.resume)
    fmt::print("going on at step {} of {} from {}\n", with_commas(trainer.state().step),
               with_commas(c.training.max_iters), request.resume->checkpoint);
  if (!request.initial_checkpoint.empty())
    fmt::print("weights from {}\n", request.initial_checkpoint);
  fmt::print("{}: {} parameters, vocabulary {}, context {}, {} tokens a step, {} steps\n",
             style.bold(request.options.run_name),
             human_count(static_cast<double>(
                 parameter_count(parameter_table(c.model, trainer.state().vocab_size)))),
             with_commas(request.vocab_size), c.model.backbone.block_size,
             with_commas(c.tokens_per_step()), with_commas(c.training.max_iters));
  fmt::print("AdamW, learning rate {:g}, weight decay {:g}; {} on {} {}\n",
             c.optimizer.learning_rate, c.optimizer.weight_decay, request.corpus.name(), threads,
             threads == 1 ? "thread" : "threads");
  int64_t frozen = 0;
  for (const Parameter& p : trainer.parameters().all())
    if (!p.tensor.requires_grad()) frozen += p.tensor.numel();
  if (frozen > 0) fmt::print("{} parameters stay as they are\n", with_commas(frozen));
  std::fflush(stdout);  // an error that follows must not come before it
}

// A run's numbers in the store: those of a new run, or of one that goes on at `step`.
RunHandle open_in_store(RunStore& store, const TrainRequest& request, const std::string& config,
                        int64_t step) {
  const std::string& name = request.options.run_name;
  if (request.resume && store.find(name)) return store.reopen_run(name, config, step);
  // The folder is the run: numbers of a folder that somebody removed belong to nothing.
  store.delete_run(name);
  return store.create_run(name, request.config.preset, config);
}

// Loads what the run goes on from, and sees to it that nothing else counts as its newest state.
void resume(Trainer& trainer, const TrainRequest& request, const std::string& folder) {
  const ResumePlan& plan = *request.resume;
  const bool reset = request.options.reset_history;
  trainer.resume(plan.checkpoint, {plan.new_data, reset, request.options.ignore_optimizer});
  if (!reset && trainer.state().step != plan.state.step)
    fail(fmt::format("{} was trained by another process meanwhile", request.options.run_name),
         "type the same command again");
  const std::string aside = set_aside_beyond(folder + "/checkpoints", reset ? -1 : plan.state.step);
  if (!aside.empty())
    fmt::print("note: checkpoints that this run leaves behind are in {}\n", aside);
}

// Nothing of the run changes.
int evaluate_only(const TrainRequest& request) {
  Trainer trainer(request.config, request.corpus, request.vocab_size, /*folder=*/"");
  trainer.resume(
      request.resume->checkpoint,
      {request.resume->new_data, request.options.reset_history, request.options.ignore_optimizer});
  const StopSignal signal;
  TrainerEvents events;
  events.evaluation = [](const EvalReport& r) {
    for (const std::string& line : evaluation_lines(r)) fmt::print("{}\n", line);
  };
  events.stop = [] { return StopSignal::received() != 0; };
  return trainer.run(events) == RunEnd::kDone ? 0 : 128 + StopSignal::received();
}

RunEnd run_trainer(Trainer& trainer, const TrainRequest& request, RunStore& store, RunHandle run,
                   const std::string& folder, int threads) {
  if (!request.options.quiet) print_header(request, trainer, threads, Style(stdout));
  Reporter reporter(request, trainer.state(), folder, store, run);
  const RunEnd end = trainer.run({[&](const StepReport& r) { reporter.on_step(r); },
                                  [&](const EvalReport& r) { reporter.on_evaluation(r); },
                                  [&](const std::string& notice) { reporter.on_notice(notice); },
                                  [&](int64_t step) { reporter.on_rollback(step); },
                                  [] { return StopSignal::received() != 0; }});
  if (end == RunEnd::kInterrupted)
    reporter.interrupted(trainer.saved_step());
  else
    reporter.finish(request.options.run_name);
  return end;
}

// Whatever keeps the store from learning it must not hide how the run ended.
void mark(RunStore& store, RunHandle run, RunStatus status) noexcept {
  try {
    store.set_status(run, status);
  } catch (const std::exception& e) {
    fmt::print(stderr, "note: {}\n", e.what());
  }
}

}  // namespace

int train(TrainRequest request) {
  const int threads = set_threads(request.config.training.threads).threads;
  // Also with --quiet: they say that something was damaged, or changed.
  if (request.resume)
    for (const std::string& line : request.resume->lines) fmt::print(stderr, "note: {}\n", line);
  if (request.resume && request.config.training.eval_only) return evaluate_only(request);
  const std::string& name = request.options.run_name;
  const std::string folder = run_folder(name);
  RunStore store(run_store_path());
  // Built and loaded before anything is claimed or removed: a wrong device, too little memory or
  // weights that do not fit leave no trace.
  Trainer trainer(request.config, request.corpus, request.vocab_size, folder);
  if (!request.initial_checkpoint.empty()) {
    const std::vector<std::string> missing = trainer.start_from(request.initial_checkpoint);
    if (!missing.empty())
      request.notices.push_back(fmt::format("{} has no {}: they begin as initialised",
                                            request.options.initial_model, join(missing, ", ")));
  }
  const StopSignal signal;
  if (request.options.force) remove_run_folder(folder);
  if (!request.resume) claim_run_folder(folder);
  const RunLock lock(folder);
  if (request.resume) resume(trainer, request, folder);
  const std::string config = resolved_config(request.config);
  write_file_durably(folder + "/config.toml", as_bytes(config));
  const RunHandle run = open_in_store(store, request, config, trainer.state().step);
  RunEnd end = RunEnd::kDone;
  try {
    end = run_trainer(trainer, request, store, run, folder, threads);
  } catch (...) {
    mark(store, run, RunStatus::kFailed);
    throw;
  }
  if (end == RunEnd::kInterrupted) {
    mark(store, run, RunStatus::kInterrupted);
    return 128 + StopSignal::received();
  }
  mark(store, run, RunStatus::kDone);
  if (make_depth_plan(request.config.model).causal)
    fmt::print("saved in {}; `fathom generate {}` writes text with it\n", folder, name);
  else
    fmt::print("saved in {}; `fathom eval {}` says how good it is\n", folder, name);
  return 0;
}

}  // namespace fathom
