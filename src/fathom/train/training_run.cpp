#include "fathom/train/training_run.h"

#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/held_path.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/config/config_file.h"
#include "fathom/io/checkpoint_folder.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"
#include "fathom/track/console.h"
#include "fathom/track/run_recorder.h"
#include "fathom/track/run_store.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/data_places.h"
#include "fathom/train/recipe/due.h"
#include "fathom/train/recipe/launched_run.h"
#include "fathom/train/recipe/optimizer_rules.h"
#include "fathom/train/recipe/training_plan.h"
#include "fathom/train/recipe/wiring_description.h"
#include "fathom/train/reporter.h"

namespace fathom {
namespace {

std::string resolved_config(RunConfig config) {
  FieldList list;
  add_fields(list, config);
  const std::string wiring = given_wiring_line(config.model);
  return fmt::format("# {}, as resolved\n{}{}", config.preset,
                     wiring.empty() ? "" : "# " + wiring + "\n", to_toml(list));
}

// On each rank alike, whether it has samples to show or waits for the one that has.
std::function<bool(int64_t, bool)> sample_steps(const TrainRequest& request) {
  return [config = request.config.training, steps = total_steps(request)](int64_t step, bool ends) {
    return ends ? last_sample_due(config) : sample_due(config, step, steps);
  };
}

// Its number, where it is one.
std::optional<int> gpu_of(const Trainer& trainer) {
  const at::Device device = trainer.parameters().all().front().tensor.device();
  return device.is_cuda() ? std::optional<int>(device.index()) : std::nullopt;
}

// One run in its folder, from where the trainer stands to its end.
class Training {
 public:
  Training(const TrainRequest& request, Trainer& trainer, RunFolder& folder,
           const SampleLines& samples)
      : request_(request),
        trainer_(trainer),
        folder_(folder),
        samples_(samples),
        recorder_(recorder_options()),
        reporter_(request, trainer.state(), recorder_, gpu_of(trainer)) {}

  RunEnd run() {
    TrainerEvents events;
    events.begin = [&] { begin(); };
    events.step = [&](const StepReport& r) {
      if (reporter_.is_log_step(r.step)) require_folder();
      claim();
      reporter_.on_step(r);
    };
    events.evaluation = [&](const EvalReport& r) { reporter_.on_evaluation(r); };
    events.evaluating = [&](const std::string& name, int64_t done, int64_t batches) {
      reporter_.on_evaluating(name, done, batches);
    };
    events.wants_sample = sample_steps(request_);
    events.sample = [&](int64_t step) { show_sample(step); };
    events.stage = [&](const StageRun& stage) { reporter_.on_stage(stage); };
    events.notice = [&](const std::string& notice) { reporter_.on_notice(notice); };
    // The numbers after `step` are of weights that are no more.
    events.rollback = [&](int64_t step) {
      if (recorder_.has_begun()) recorder_.roll_back(resolved_config(request_.config), step);
    };
    events.stop = [] { return StopSignal::received() != 0; };
    try {
      const RunEnd end = trainer_.run(events);
      require_folder();  // or what is said of the run would be of another one, or of none
      end == RunEnd::kInterrupted
          ? reporter_.interrupted(trainer_.saved_step(), trainer_.has_begun())
          : reporter_.finish();
      recorder_.finish(end == RunEnd::kDone ? RunStatus::kDone : RunStatus::kInterrupted);
      return end;
    } catch (const SystemError& e) {
      fail_run(&e);
      throw;
    } catch (...) {
      fail_run(/*reason=*/nullptr);
      throw;
    }
  }

 private:
  // Without its folder everything that is written fails, in words of its own.
  void fail_run(const SystemError* reason) {
    recorder_.finish(RunStatus::kFailed);
    // What is in a folder is removed before the folder itself, and takes a moment.
    const bool lost = reason != nullptr && reason->error() == ENOENT &&
                      reason->path().rfind(folder_.path() + "/", 0) == 0;
    for (int i = 0; lost && folder_.is_there() && i < 100; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    require_folder();
    if (lost)
      fail(fmt::format("a part of the run's folder {} was removed by another process",
                       folder_.name()),
           has_checkpoint()
               ? "--resume goes on from the newest checkpoint that is whole"
               : "no checkpoint is left that is whole; --force in place of --resume begins anew");
  }

  bool has_checkpoint() const {
    try {
      return newest_complete(folder_.path() + "/checkpoints").has_value();
    } catch (const Error&) {
      return false;
    }
  }

  // Only watched: a text that cannot be made is no end of the run.
  void show_sample(int64_t step) {
    if (!samples_) return;
    try {
      reporter_.on_sample(samples_(step));
    } catch (const std::exception& e) {
      reporter_.on_notice(fmt::format("no sample at step {}: {}", step, e.what()));
    }
  }

  RunRecorderOptions recorder_options() {
    RunRecorderOptions options;
    options.store = run_store_path();
    options.events_folder = folder_.path() + "/tensorboard";
    options.run_name = request_.options.run_name;
    options.experiment = request_.config.preset;
    options.is_there = [this] { return folder_.is_there(); };
    options.note = [this](const std::string& sentence) { reporter_.on_notice(sentence); };
    return options;
  }

  // From here on the folder is this run's as it is now. What may fail comes before what cannot be
  // undone.
  void begin() {
    require_folder();
    if (request_.options.force) folder_.clear();
    const std::string config = resolved_config(request_.config);
    write_file_durably(folder_.path() + "/config.toml", as_bytes(config));
    if (!request_.plan.stages.empty())
      write_file_durably(folder_.path() + "/plan.json",
                         as_bytes(json_text(request_.plan, /*indent=*/2) + "\n"));
    write_file_durably(folder_.path() + "/" + kDataPlacesFile,
                       as_bytes(to_text(places_of(request_.stages))));
    std::optional<int64_t> goes_on_at;
    if (request_.resume) {
      const bool reset = request_.options.reset_history;
      goes_on_at = reset ? -1 : request_.resume->state.step;
      const std::string aside = set_aside_beyond(folder_.path() + "/checkpoints", *goes_on_at);
      if (!aside.empty())
        reporter_.on_notice("checkpoints that this run leaves behind are in " + shown_paths(aside));
    }
    if (trainer_.state().step > goes_on_at.value_or(-1)) claim();
    recorder_.begin(config, goes_on_at);
  }

  // A run is of the launch that made it or its last step, and of none that only was about to:
  // before the checkpoint that shows it.
  void claim() {
    if (!std::exchange(is_claimed_, true)) record_launch(folder_.path(), request_.launch);
  }

  // Whoever takes the name of a folder that was removed is another run.
  void require_folder() const {
    if (!folder_.is_there())
      fail(
          fmt::format("the run's folder {} was removed or replaced by another process",
                      folder_.name()),
          "what had been saved went with it; start the run again under a name that nobody removes");
  }

  const TrainRequest& request_;
  Trainer& trainer_;
  RunFolder& folder_;
  SampleLines samples_;
  RunRecorder recorder_;
  Reporter reporter_;
  bool is_claimed_ = false;
};

// Where the run is to go on, where it is.
void go_on(const TrainRequest& request, Trainer& trainer) {
  if (!request.resume) return;
  const Resumption& plan = *request.resume;
  const bool reset = request.options.reset_history;
  trainer.resume(plan.checkpoint, {plan.new_data, reset, request.options.ignore_optimizer});
  if (!reset && trainer.state().step != plan.state.step)
    fail(fmt::format("{} was trained by another process meanwhile", request.options.run_name),
         "type the same command again");
}

}  // namespace

void print_header(const TrainRequest& request, const Trainer& trainer,
                  const ThreadChoice& threads) {
  const Style style(stdout);
  const RunConfig& c = request.config;
  std::string out;
  for (const std::string& notice : request.notices) out += fmt::format("note: {}\n", notice);
  const int64_t steps = total_steps(request);
  if (request.resume)
    out += fmt::format("going on at step {}{} from {}\n", with_commas(trainer.state().step),
                       steps > 0 ? " of " + with_commas(steps) : "", request.resume->checkpoint);
  if (!request.initial_checkpoint.empty())
    out += fmt::format("weights from {}\n", request.initial_checkpoint);
  say(stdout, out);
  const std::string& name = request.options.run_name;
  const bool has_plan = !request.plan.stages.empty();
  const std::string how_long =
      has_plan && steps == 0 ? counted(static_cast<int64_t>(request.plan.stages.size()), "stage")
                             : counted(steps, "step");
  out = fmt::format("{}: {} parameters, vocabulary {}, context {}, {} tokens a step, {}\n", name,
                    human_count(static_cast<double>(
                        parameter_count(parameter_table(c.model, trainer.state().vocab_size)))),
                    with_commas(request.vocab_size), c.model.backbone.block_size,
                    with_commas(c.tokens_per_step()), how_long);
  out = fitted(stdout, out);
  // A name has nothing to escape, and is a word, which stays whole.
  say_raw(stdout, style.bold(name) + out.substr(name.size()));
  out.clear();
  if (const std::string wiring = given_wiring_line(c.model); !wiring.empty()) out += wiring + "\n";
  for (const std::string& stage : to_text(request.plan)) out += fmt::format("stage {}\n", stage);
  out += fmt::format("{}, learning rate {:g}, weight decay {:g}; {} on {}\n",
                     optimizer_rule(c.optimizer.optimizer).title, c.optimizer.learning_rate,
                     c.optimizer.weight_decay, request.corpus.name(), thread_text(threads));
  int64_t frozen = 0;
  for (const Parameter& p : trainer.parameters().all())
    if (!p.tensor.requires_grad()) frozen += p.tensor.numel();
  if (frozen > 0) out += fmt::format("{} parameters stay as they are\n", with_commas(frozen));
  say(stdout, out);
}

RunFolder take_folder(TrainRequest& request) {
  TrainOptions& o = request.options;
  const std::string path = run_folder(o.run_name);
  if (request.resume) return RunFolder::open(path);
  RunFolder folder = o.force        ? RunFolder::replace(path)
                     : o.is_unnamed ? RunFolder::claim_free(path)
                                    : RunFolder::claim(path);
  o.run_name = folder.run_name();
  return folder;
}

RunEnd train_in(RunFolder& folder, TrainRequest& request, Trainer& trainer,
                const std::function<void()>& ready, const SampleLines& samples) {
  trainer.write_to(folder.path());
  go_on(request, trainer);
  if (folder.took_left_over())
    request.notices.push_back(fmt::format(
        "{} held what a start left that ended before its first checkpoint", folder.name()));
  ready();
  return Training(request, trainer, folder, samples).run();
}

RunEnd train_along(const TrainRequest& request, Trainer& trainer) {
  trainer.read_from(run_folder(request.options.run_name));
  go_on(request, trainer);
  TrainerEvents events;
  events.stop = [] { return StopSignal::received() != 0; };
  events.wants_sample = sample_steps(request);
  return trainer.run(events);
}

}  // namespace fathom
