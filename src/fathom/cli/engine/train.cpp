// `fathom train`: a run folder, the run store, the console, and the trainer between them.
#include <fmt/format.h>

#include <cstdio>

#include "fathom/base/text.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/config/config_file.h"
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

// What a run says and stores. Quiet silences the console, not the store.
class Reporter {
 public:
  Reporter(const TrainRequest& request, std::string best_metric, RunStore& store, RunHandle run)
      : best_metric_(std::move(best_metric)),
        store_(store),
        run_(run),
        events_(run_folder(request.options.run_name) + "/tensorboard"),
        quiet_(request.options.quiet),
        log_interval_(request.config.training.log_interval),
        progress_(ProgressOptions::for_stream(stdout, request.config.training.max_iters)) {}

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
    progress_.print(
        fmt::format("step {}: train loss {:.4f}, val loss {:.4f} (+-{:.4f}), val accuracy {:.3f}{}",
                    with_commas(r.step), r.train.loss, r.val.loss, r.val.standard_error,
                    r.val.accuracy(), r.best && r.step > 0 ? ", best so far" : ""));
    // A model with one reading has said everything.
    if (r.val.metrics.size() > 2) progress_.print("  val: " + metrics_text(r.val.metrics));
  }

  void finish(const std::string& name) {
    if (!quiet_) progress_.finish();
    fmt::print("{}: val loss {:.4f} after {} steps in {}\n", name, last_.val.loss,
               with_commas(last_.step), human_duration(progress_.elapsed()));
  }

 private:
  void add(int64_t step, const std::vector<MetricValue>& values) {
    store_.add(run_, step, values);
    events_.add(step, values);
  }

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
  fmt::print("{}: {} parameters, vocabulary {}, context {}, {} tokens a step, {} steps\n",
             style.bold(request.options.run_name),
             human_count(static_cast<double>(
                 parameter_count(parameter_table(c.model, trainer.state().vocab_size)))),
             with_commas(request.vocab_size), c.model.backbone.block_size,
             with_commas(c.tokens_per_step()), with_commas(c.training.max_iters));
  fmt::print("AdamW, learning rate {:g}, weight decay {:g}; {} on {} {}\n",
             c.optimizer.learning_rate, c.optimizer.weight_decay, request.corpus.name(), threads,
             threads == 1 ? "thread" : "threads");
  std::fflush(stdout);  // an error that follows must not come before it
}

}  // namespace

int train(TrainRequest request) {
  const int threads = set_threads(request.config.training.threads);
  const std::string& name = request.options.run_name;
  const std::string folder = run_folder(name);
  RunStore store(run_store_path());
  // Built before anything is claimed: a wrong device or too little memory leaves no trace.
  Trainer trainer(request.config, request.corpus, request.vocab_size, folder);
  if (request.options.force) remove_run_folder(folder);
  claim_run_folder(folder);
  // The folder is the run: numbers of a folder that somebody removed belong to nothing.
  store.delete_run(name);
  const std::string config = resolved_config(request.config);
  write_file_durably(folder + "/config.toml", as_bytes(config));
  const RunHandle run = store.create_run(name, request.config.preset, config);

  if (!request.options.quiet) print_header(request, trainer, threads, Style(stdout));
  Reporter reporter(request, trainer.state().best_metric, store, run);
  try {
    trainer.run({[&](const StepReport& r) { reporter.on_step(r); },
                 [&](const EvalReport& r) { reporter.on_evaluation(r); }});
  } catch (...) {
    store.set_status(run, RunStatus::kFailed);
    throw;
  }
  store.set_status(run, RunStatus::kDone);
  reporter.finish(name);
  fmt::print("saved in {}; `fathom generate {}` writes text with it\n", folder, name);
  return 0;
}

}  // namespace fathom
