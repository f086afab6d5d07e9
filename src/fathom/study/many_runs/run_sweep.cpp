#include "fathom/study/many_runs/run_sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "fathom/base/error.h"
#include "fathom/base/processors.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/io/files.h"
#include "fathom/study/many_runs/children.h"
#include "fathom/study/many_runs/sweep_record.h"
#include "fathom/track/console.h"
#include "fathom/track/run_folder.h"

namespace fathom {
namespace {

// The runs that are left, a few at a time.
class Sweep {
 public:
  Sweep(const SweepPlan& plan, const SweepOptions& options) : plan_(plan), options_(options) {
    for (const PlannedRun& run : plan.runs)
      if (run.now != RunNow::kComplete) left_.push_back(&run);
    if (options.jobs > 1)
      threads_ = std::max<int64_t>(1, choose_threads(0, thread_limits()).threads / options.jobs);
  }

  // The exit code.
  int run() {
    while (!running_.empty() || wants_more()) {
      while (wants_more() && running_.size() < static_cast<size_t>(options_.jobs)) start_next();
      pass_on_signal();
      if (const ChildEnd end = ended_child(); end.child > 0)
        take(end);
      else
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return outcome();
  }

 private:
  struct Running {
    pid_t child;
    const PlannedRun* run;
  };

  bool wants_more() const {
    return next_ < left_.size() && StopSignal::received() == 0 && !is_refused_;
  }

  void start_next() {
    const PlannedRun& run = *left_[next_++];
    std::vector<std::string> words = run.words();
    const bool names_threads = std::any_of(words.begin(), words.end(), [](const std::string& word) {
      return word.rfind("--threads=", 0) == 0;
    });
    if (threads_ > 0 && !names_threads) words.push_back(fmt::format("--threads={}", threads_));
    if (options_.quiet || options_.jobs > 1) words.emplace_back("--quiet");
    say(stdout,
        fmt::format("[{}/{}] {}{}\n", plan_.runs.size() - left_.size() + next_, plan_.runs.size(),
                    run.run.name, run.now == RunNow::kUnfinished ? ", which goes on" : ""));
    running_.push_back({start_training(words), &run});
  }

  // Once to each: a second one would end it at once.
  void pass_on_signal() {
    const int signal = StopSignal::received();
    if (signal == 0 || has_passed_on_) return;
    has_passed_on_ = true;
    for (const Running& running : running_) pass_on(signal, running.child);
  }

  void take(const ChildEnd& end) {
    const auto ended = std::find_if(running_.begin(), running_.end(),
                                    [&](const Running& r) { return r.child == end.child; });
    if (ended == running_.end()) return;
    const std::string& name = ended->run->run.name;
    if (end.exit_code == 0 && end.signal == 0) {
      ++done_;
    } else if (StopSignal::received() == 0) {
      failed_.push_back(name);
      is_refused_ = is_refused_ || end.exit_code == 2;
      say(stderr, end.signal != 0
                      ? fmt::format("{} was ended by signal {}\n", name, end.signal)
                      : fmt::format("{} ended with exit code {}\n", name, end.exit_code));
    }
    running_.erase(ended);
  }

  int outcome() const {
    const std::string& name = plan_.recipe.name;
    const size_t complete = plan_.count(RunNow::kComplete) + done_;
    std::string out =
        fmt::format("{}: {} of {} runs are complete", name, complete, plan_.runs.size());
    if (!failed_.empty())
      out += fmt::format(", {} failed ({})", failed_.size(), join(failed_, ", "));
    const int signal = StopSignal::received();
    if (signal != 0 || complete < plan_.runs.size())
      out += fmt::format("{}. To go on:\n  fathom sweep {}\n", signal != 0 ? "; interrupted" : "",
                         name);
    else
      out += fmt::format("; `fathom compare {}` compares them\n", name);
    say(stdout, out);
    return signal != 0 ? 128 + signal : failed_.empty() ? 0 : 1;
  }

  const SweepPlan& plan_;
  const SweepOptions& options_;
  std::vector<const PlannedRun*> left_;
  size_t next_ = 0, done_ = 0;
  int64_t threads_ = 0;  // of each run; 0: as it chooses
  std::vector<Running> running_;
  std::vector<std::string> failed_;
  bool is_refused_ = false;  // a run was wrong use: so would the others be
  bool has_passed_on_ = false;
};

}  // namespace

void keep_sweep(const SweepPlan& plan) {
  make_folders(runs_root());
  if (!plan.recipe.plan_json.empty())
    write_file_durably(plan_path(plan.recipe.name), as_bytes(plan.recipe.plan_json));
  write_file_durably(recipe_path(plan.recipe.name), as_bytes(plan.text));
}

int run_sweep(const SweepPlan& plan, const SweepOptions& options) {
  return Sweep(plan, options).run();
}

}  // namespace fathom
