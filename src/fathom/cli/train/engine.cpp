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
#include "fathom/train/reporter.h"
#include "fathom/train/training_run.h"

namespace fathom {
namespace {

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
