// `fathom train`: a run folder, the run store, the console, and the trainer between them.
#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/cli/engine/engine.h"
#include "fathom/cli/train/request.h"
#include "fathom/model/device.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/optimizer_rules.h"
#include "fathom/train/recipe/training_plan.h"
#include "fathom/train/reporter.h"
#include "fathom/train/training_run.h"

namespace fathom {
namespace {

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
  say_raw(stdout, style.bold(request.options.run_name));  // a name has nothing to escape
  const bool has_plan = !request.plan.stages.empty();
  const std::string how_long = has_plan && steps == 0
                                   ? fmt::format("{} stages", request.plan.stages.size())
                                   : fmt::format("{} steps", with_commas(steps));
  out = fmt::format(": {} parameters, vocabulary {}, context {}, {} tokens a step, {}\n",
                    human_count(static_cast<double>(
                        parameter_count(parameter_table(c.model, trainer.state().vocab_size)))),
                    with_commas(request.vocab_size), c.model.backbone.block_size,
                    with_commas(c.tokens_per_step()), how_long);
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

// Nothing of the run changes.
int evaluate_only(const TrainRequest& request) {
  Trainer trainer(run_of(request), request.vocab_size, /*folder=*/"");
  trainer.resume(
      request.resume->checkpoint,
      {request.resume->new_data, request.options.reset_history, request.options.ignore_optimizer});
  const StopSignal signal;
  TrainerEvents events;
  events.evaluation = [](const EvalReport& r) {
    for (const std::string& line : evaluation_lines(r)) say(stdout, line + "\n");
  };
  events.stop = [] { return StopSignal::received() != 0; };
  return trainer.run(events) == RunEnd::kDone ? 0 : 128 + StopSignal::received();
}

int train(TrainRequest request) {
  console_is_only_watched();
  const ThreadChoice threads = set_threads(request.config.training.threads);
  // Also with --quiet: they say that something was damaged, or changed.
  if (request.resume)
    for (const std::string& line : request.resume->lines) say_note(line);
  if (request.resume && request.config.training.eval_only) return evaluate_only(request);
  check_run_store(run_store_path());
  settle_killed_runs(run_store_path());
  std::optional<RunFolder> folder;  // outlives the trainer, which tidies up in it
  // Built and loaded before anything is claimed or removed: a wrong device, too little memory or
  // weights that do not fit leave no trace.
  Trainer trainer(run_of(request), request.vocab_size, /*folder=*/"");
  if (!request.initial_checkpoint.empty()) {
    const std::vector<std::string> missing = trainer.start_from(request.initial_checkpoint);
    if (!missing.empty())
      request.notices.push_back(fmt::format("{} has no {}: they begin as initialised",
                                            request.options.initial_model, join(missing, ", ")));
  }
  // To the end of the process: a signal that comes while it leaves must not change how it ended.
  [[maybe_unused]] static const auto* const signal = new StopSignal;
  folder = take_folder(request);
  RunEnd end = RunEnd::kDone;
  try {
    end = train_in(*folder, request, trainer, [&] {
      if (!request.options.quiet) print_header(request, trainer, threads);
    });
  } catch (...) {
    if (!trainer.has_begun()) folder->abandon();
    throw;
  }
  if (end == RunEnd::kInterrupted) return 128 + StopSignal::received();
  const bool writes = trainer.model().next_token_model() != nullptr;
  say(stdout, fmt::format("saved in {}; `fathom {} {}` {}\n", folder->name(),
                          writes ? "generate" : "eval", request.options.run_name,
                          writes ? "writes text with it" : "says how good it is"));
  return 0;
}

}  // namespace

int run_train_in_engine(const Arguments& arguments) {
  auto request = parse_train(arguments);
  return request ? train(std::move(*request)) : 0;
}

}  // namespace fathom
