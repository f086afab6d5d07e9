#include "fathom/train/training_session.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <optional>
#include <set>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/model/device.h"
#include "fathom/parallel/watched_ranks.h"
#include "fathom/track/console.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/fits_memory.h"
#include "fathom/train/reporter.h"

namespace fathom {
namespace {

// 128 and the signal; that came to another rank, where it was none of this one's.
int interrupted_code() {
  const int signal = StopSignal::received();
  return 128 + (signal != 0 ? signal : SIGTERM);
}

// Nothing of the run changes.
int evaluate_only(const TrainRequest& request, WatchedRanks& ranks) {
  Trainer trainer(run_of(request), request.vocab_size, /*folder=*/"");
  trainer.join(ranks.ranks(), request.options.ranks);
  trainer.resume(
      request.resume->checkpoint,
      {request.resume->new_data, request.options.reset_history, request.options.ignore_optimizer});
  const StopSignal signal(echo_of(request.launch));
  TrainerEvents events;
  if (request.launch.is_first())
    events.evaluation = [](const EvalReport& r) {
      for (const std::string& line : evaluation_lines(r)) say(stdout, line + "\n");
    };
  events.stop = [] { return StopSignal::received() != 0; };
  const RunEnd end = trainer.run(events);
  ranks.part();
  return end == RunEnd::kDone ? 0 : interrupted_code();
}

// How much of the time that gradients were on their way cost nothing, over all ranks.
void say_hidden_share(const Trainer& trainer, Ranks& ranks, bool says) {
  const GradientSum* own = trainer.gradient_sum();
  if (own == nullptr) return;
  const auto all =
      ranks.sum({{"hidden", own->seconds_hidden()}, {"waited", own->seconds_waited()}});
  const double hidden = all.at("hidden"), waited = all.at("waited"), whole = hidden + waited;
  if (says && whole > 0)
    say(stdout,
        fmt::format("sums over {} ranks: {:.0f} % behind backward passes, {:.3g} s waited\n",
                    ranks.size(), 100 * hidden / whole, waited / ranks.size()));
}

// What a model that has more parts took of another one.
std::string initial_notice(const std::string& initial, const ParameterSet& parameters,
                           const std::vector<std::string>& missing) {
  constexpr size_t kMostNames = 8;
  const std::set<std::string> begin(missing.begin(), missing.end());
  int64_t tensors = 0, numbers = 0, anew = 0;
  for (const Parameter& p : parameters.all()) {
    if (begin.count(p.spec.name) > 0) {
      anew += p.spec.count();
      continue;
    }
    ++tensors;
    numbers += p.spec.count();
  }
  const size_t named = std::min(missing.size(), kMostNames);
  const std::vector<std::string> names(missing.begin(), missing.begin() + long(named));
  const size_t more = missing.size() - named;
  return fmt::format(
      "{} of {} with {} are taken; {} with {} begin as initialised, for it has no {}{}",
      counted(tensors, "tensor"), initial, counted(numbers, "number"),
      counted(int64_t(missing.size()), "tensor"), counted(anew, "number"), join(names, ", "),
      more > 0 ? fmt::format(" and {} more", more) : "");
}

int train(TrainRequest& request, const ThreadChoice& threads, WatchedRanks& ranks,
          const SamplesOf& samples_of) {
  if (request.resume && request.config.training.eval_only) return evaluate_only(request, ranks);
  if (request.launch.is_first()) {
    check_run_store(run_store_path());
    settle_killed_runs(run_store_path());
  }
  std::optional<RunFolder> folder;  // outlives the trainer, which tidies up in it
  // Built and loaded before anything is claimed or removed: a wrong device, too little memory or
  // weights that do not fit leave no trace.
  Trainer trainer(run_of(request), request.vocab_size, /*folder=*/"");
  trainer.join(ranks.ranks(), request.options.ranks);
  if (choose_device(request.config.training.device).is_cpu())
    if (auto note = memory_note(request.stages, request.vocab_size))
      request.notices.push_back(std::move(*note));
  if (!request.initial_checkpoint.empty()) {
    const std::vector<std::string> missing =
        trainer.start_from(request.initial_checkpoint, request.begin_anew);
    if (!missing.empty())
      request.notices.push_back(
          initial_notice(request.options.initial_model, trainer.parameters(), missing));
  }
  if (const InitialPart& part = request.initial_part; !part.checkpoint.empty()) {
    TensorNames names;
    for (const PartName& name : part.names) names.emplace_back(name.ours, name.theirs);
    const TakenPart taken = trainer.take_part(part.checkpoint, names);
    request.notices.push_back(fmt::format("{} of {} with {} are a part of the model, XXH3 {}",
                                          counted(taken.tensors, "tensor"), part.checkpoint,
                                          counted(taken.numbers, "number"), taken.checksum));
    request.notices.insert(request.notices.end(), part.notices.begin(), part.notices.end());
  }
  const SampleLines samples = samples_of(request, trainer);
  const bool is_notebook = request.config.training.log_format == LogFormat::kNotebook;
  if (request.launch.leaves_alone) prctl(PR_SET_PDEATHSIG, SIGTERM);
  // To the end of the process: a signal that comes while it leaves must not change how it ended.
  [[maybe_unused]] static const auto* const signal = new StopSignal(echo_of(request.launch));
  // It was killed while the ranks met.
  if (request.launch.leaves_alone && getppid() != request.launch.parent) raise(SIGTERM);
  if (!request.launch.is_first()) {
    request.options.run_name = ranks.ranks()->broadcast("");
    const RunEnd end = train_along(request, trainer);
    say_hidden_share(trainer, *ranks.ranks(), /*says=*/false);
    ranks.part();
    return end == RunEnd::kInterrupted ? interrupted_code() : 0;
  }
  folder = take_folder(request);
  ranks.ranks()->broadcast(request.options.run_name);  // which may have become another one
  RunEnd end = RunEnd::kDone;
  try {
    const auto ready = [&] {
      if (!request.options.quiet && !is_notebook) print_header(request, trainer, threads);
    };
    end = train_in(*folder, request, trainer, ready, samples);
  } catch (...) {
    if (!trainer.has_begun()) folder->abandon();
    throw;
  }
  say_hidden_share(trainer, *ranks.ranks(), !request.options.quiet && !is_notebook);
  ranks.part();
  if (end == RunEnd::kInterrupted) return interrupted_code();
  if (is_notebook) return 0;  // whose console has its lines alone
  const bool writes = trainer.model().next_token_model() != nullptr;
  say(stdout, fmt::format("saved in {}; `fathom {} {}` {}\n", folder->name(),
                          writes ? "generate" : "eval", shell_word(run_word(request.options)),
                          writes ? "writes text with it" : "says how good it is"));
  return 0;
}

// What becomes of a run that was started anew is rank 0's to say: launchers of several machines
// count restarts each for itself, and begin at other moments.
enum class Fate { kBegins, kGoesOn, kIsComplete };
Fate fate_of(const TrainRequest& request) {
  if (!request.complete.empty()) return Fate::kIsComplete;
  return request.resume ? Fate::kGoesOn : Fate::kBegins;
}

// The request may be another one then.
Fate follow_first(TrainRequest& request, Ranks& ranks, const AsFirstDecides& as_first_decides) {
  const auto fate = static_cast<Fate>(ranks.broadcast(static_cast<double>(fate_of(request))));
  if (fate == Fate::kIsComplete || fate == fate_of(request)) return fate;
  std::optional<TrainRequest> anew = as_first_decides(fate == Fate::kGoesOn);
  if (!anew || fate_of(*anew) == Fate::kIsComplete)
    fail(fmt::format("rank 0 goes on with the run {}, which is complete for rank {}",
                     request.options.run_name, ranks.rank()),
         "run folders must be the same files for all ranks");
  request = std::move(*anew);
  set_threads(request.config.training.threads);
  return fate;
}

}  // namespace

int run_training(TrainRequest& request, const SamplesOf& samples_of,
                 const AsFirstDecides& as_first_decides) {
  const ThreadChoice threads = set_threads(request.config.training.threads);
  // Also with --quiet: they say that something was damaged, or changed.
  if (request.resume)
    for (const std::string& line : request.resume->lines) say_note(line);
  WatchedRanks ranks(request.launch);
  return ranks.say_once([&] {
    if (follow_first(request, *ranks.ranks(), as_first_decides) == Fate::kIsComplete) {
      if (request.launch.is_first()) say(stdout, fitted(stdout, request.complete) + "\n");
      ranks.part();
      return 0;
    }
    return train(request, threads, ranks, samples_of);
  });
}

}  // namespace fathom
