#include "fathom/track/run_recorder.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <filesystem>
#include <set>
#include <thread>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/stop_signal.h"
#include "fathom/base/text.h"
#include "fathom/track/console.h"
#include "fathom/track/reserved_space.h"
#include "fathom/track/tensorboard.h"

namespace fathom {
namespace {

constexpr int64_t kLastBytes = 64 << 10;  // some pages of the store, and of its log

struct Step {
  int64_t step = 0;
  std::vector<MetricValue> values;
  double wall_time = 0;
};

// Jobs for one place, done in order; the first that fails waits with all behind it.
class Backlog {
 public:
  Backlog(const char* place, const RunRecorderOptions& options)
      : place_(place), options_(options) {}

  // Before all others.
  void push_first(std::function<void()> work) { jobs_.push_front({0, std::move(work)}); }

  void push(size_t values, std::function<void()> work) {
    jobs_.push_back({values, std::move(work)});
    waiting_ += values;
    while (waiting_ > options_.most_values && drop_oldest())
      note(fmt::format("{} lacks more than {} values by now: the oldest are dropped", place_,
                       with_commas(static_cast<int64_t>(options_.most_values))));
  }

  // Does what can be done now. True: nothing waits.
  bool work(bool again_at_once) {
    if (!again_at_once && options_.clock() < next_try_) return false;
    while (!jobs_.empty()) {
      try {
        jobs_.front().work();
      } catch (const RunVanished& e) {
        note(fmt::format("{}; what follows is not stored there ({})", e.what(), e.hint()));
        close();
        return true;
      } catch (const std::exception& e) {
        locked_ = dynamic_cast<const StoreLocked*>(&e) != nullptr;
        note(fmt::format("{}; what {} lacks is kept and tried again", e.what(), place_));
        reason_ = e.what();
        next_try_ = options_.clock() + options_.retry_seconds;
        return false;
      }
      waiting_ -= jobs_.front().values;
      jobs_.pop_front();
    }
    locked_ = false;
    if (dropped_ == 0 && !std::exchange(reason_, "").empty())
      note(fmt::format("{} is up to date again", place_));
    return true;
  }

  // Nothing more is written, and nobody waits for it.
  void close() {
    jobs_.clear();
    waiting_ = 0;
    closed_ = true;
    locked_ = false;
    reason_.clear();
  }

  // Once a cause.
  void note(const std::string& sentence) {
    if (noted_.size() < 100 && noted_.insert(sentence).second) options_.note(sentence);
  }

  // What is left is small.
  void drop_values() {
    while (drop_oldest()) {
    }
  }

  bool is_closed() const { return closed_; }
  bool is_locked() const { return locked_; }  // the last attempt failed because of a lock
  bool empty() const { return jobs_.empty(); }
  bool is_complete() const { return jobs_.empty() && dropped_ == 0; }
  size_t waiting() const { return waiting_; }
  const std::string& reason() const { return reason_; }
  size_t dropped() const { return dropped_; }

 private:
  struct Job {
    size_t values;
    std::function<void()> work;
  };

  // Jobs without values (open, status) stay.
  bool drop_oldest() {
    const auto oldest =
        std::find_if(jobs_.begin(), jobs_.end(), [](const Job& job) { return job.values > 0; });
    if (oldest == jobs_.end()) return false;
    waiting_ -= oldest->values;
    dropped_ += oldest->values;
    jobs_.erase(oldest);
    return true;
  }

  const char* place_;
  const RunRecorderOptions& options_;
  std::deque<Job> jobs_;
  size_t waiting_ = 0, dropped_ = 0;
  double next_try_ = -1e300;
  bool closed_ = false, locked_ = false;
  std::string reason_;  // why the last attempt failed; empty: it did not
  std::set<std::string> noted_;
};

RunRecorderOptions with_defaults(RunRecorderOptions options) {
  if (!options.clock) options.clock = steady_clock();
  if (!options.note) options.note = [](const std::string& sentence) { say_note(sentence); };
  return options;
}

}  // namespace

struct RunRecorder::Impl {
  explicit Impl(RunRecorderOptions given)
      : options(with_defaults(std::move(given))),
        to_store("the run store", options),
        to_events("TensorBoard's copy", options) {}

  const RunRecorderOptions options;
  bool begun = false;
  std::optional<RunStore> store;
  // On a full disk: for what waits at the end, and for how the run ended.
  ReservedSpace last_values, last_words;
  RunHandle run;
  std::optional<TensorBoardWriter> events;
  Backlog to_store, to_events;

  void open_store(const std::string& config, std::optional<int64_t> step) {
    if (!store) {
      RunStoreOptions o;
      o.busy_timeout_ms = options.patience_ms;
      store.emplace(options.store, o);
    }
    const std::filesystem::path folder = std::filesystem::path(options.store).parent_path();
    for (ReservedSpace* space : {&last_words, &last_values})
      if (!space->is_held()) *space = ReservedSpace(folder, kLastBytes);
    store->settle_killed_runs();
    // By the name alone it would take the numbers of the next run that is called so.
    if (options.is_there && !options.is_there())
      throw RunVanished(fmt::format("the folder of {} was removed", options.run_name),
                        "another run may have its name by now");
    if (step && store->find(options.run_name)) {
      run = store->reopen_run(options.run_name, config, *step);
      return;
    }
    // The folder is the run: numbers of a folder that somebody removed belong to nothing.
    store->delete_run(options.run_name);
    run = store->create_run(options.run_name, options.experiment, config);
  }

  void open_events(std::optional<int64_t> first_step) {
    events = TensorBoardWriter(options.events_folder, first_step);
  }

  // A removed folder would go on to take what nobody can read.
  TensorBoardWriter& present_events(int64_t step) {
    if (!events->is_there()) {
      to_events.note(fmt::format("{} was removed: TensorBoard's copy begins anew at step {}",
                                 events->path(), with_commas(step)));
      open_events(step);
    }
    return *events;
  }

  // TensorBoard forgets what it had from the first new step on: that of the checkpoint itself,
  // whose evaluation may be made once more. Its other numbers are in the store.
  void repeat_step(int64_t step) {
    if (!store) return;
    Step again{step, {}, wall_clock()};
    try {
      again.values = values_at(step);
    } catch (const Error&) {
      return;  // the store has its own complaint
    }
    events->add(step, again.values, again.wall_time);
  }

  std::vector<MetricValue> values_at(int64_t step) const {
    std::vector<MetricValue> values;
    for (const std::string& metric : store->metric_names(options.run_name)) {
      if (metric.rfind("eval/", 0) == 0) continue;
      const std::vector<Point> points = store->series(options.run_name, metric);
      const auto point = std::lower_bound(points.begin(), points.end(), step,
                                          [](const Point& p, int64_t s) { return p.step < s; });
      if (point != points.end() && point->step == step) values.push_back({metric, point->value});
    }
    return values;
  }

  void check_store() {
    if (store && !store->is_current())
      throw RunVanished(fmt::format("run store {} was removed or replaced", options.store),
                        "the run's checkpoints are not affected");
  }

  void store_job(size_t values, std::function<void()> work) {
    if (to_store.is_closed()) return;
    to_store.push(values, [this, work = std::move(work)] {
      check_store();
      work();
    });
  }
  void events_job(size_t values, std::function<void()> work) {
    if (!to_events.is_closed()) to_events.push(values, std::move(work));
  }

  bool work(bool again_at_once = false) {
    if (!begun) return false;
    const bool stored = to_store.work(again_at_once);
    const bool copied = to_events.work(again_at_once);
    return stored && copied;
  }

  // Where it is not a lock, space may help; what is first in line may take all that there is.
  void attempt_end() {
    attempt_last();
    if (to_store.empty() || to_store.is_locked()) return;
    last_values.release();
    if (work(/*again_at_once=*/true) || to_store.empty() || to_store.is_locked()) return;
    to_store.drop_values();
    last_words.release();
    work(/*again_at_once=*/true);
  }

  // Only a lock is waited for: it will be let go.
  void attempt_last() {
    const int asked = StopSignal::received();
    const double end = options.clock() + options.last_seconds;
    for (bool said = false;; said = true) {
      if (work(/*again_at_once=*/true) || !to_store.is_locked()) return;
      if (options.clock() >= end || StopSignal::received() != asked) return;
      if (!said)
        to_store.note(
            fmt::format("waiting for the run store, {:g} s at most", options.last_seconds));
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
};

RunRecorder::RunRecorder(RunRecorderOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}

RunRecorder::~RunRecorder() = default;

bool RunRecorder::has_begun() const noexcept {
  return impl_->begun;
}

size_t RunRecorder::waiting_values() const noexcept {
  return std::max(impl_->to_store.waiting(), impl_->to_events.waiting());
}

// Calls `work`; a process without memory for a number has other worries.
template <class Work>
static void quietly(Work work) noexcept {
  try {
    work();
  } catch (...) {
  }
}

void RunRecorder::begin(const std::string& config_toml, std::optional<int64_t> step) noexcept {
  Impl& impl = *impl_;
  quietly([&] {
    impl.begun = true;
    impl.to_store.push_first([&impl, config_toml, step] { impl.open_store(config_toml, step); });
    impl.to_events.push_first([&impl, step] {
      if (step) {
        impl.open_events(std::max<int64_t>(0, *step));
        if (*step > 0) impl.repeat_step(*step);
      } else {
        impl.open_events(std::nullopt);
      }
    });
    impl.work();
  });
}

void RunRecorder::add(int64_t step, std::vector<MetricValue> values) noexcept {
  Impl& impl = *impl_;
  quietly([&] {
    const auto kept = std::make_shared<const Step>(Step{step, std::move(values), wall_clock()});
    impl.store_job(kept->values.size(),
                   [&impl, kept] { impl.store->add(impl.run, kept->step, kept->values); });
    impl.events_job(kept->values.size(), [&impl, kept] {
      impl.present_events(kept->step).add(kept->step, kept->values, kept->wall_time);
    });
    impl.work();
  });
}

void RunRecorder::set_best(const std::string& metric, int64_t step, double value) noexcept {
  Impl& impl = *impl_;
  quietly([&] {
    impl.store_job(
        0, [&impl, metric, step, value] { impl.store->set_best(impl.run, metric, step, value); });
    impl.work();
  });
}

void RunRecorder::roll_back(const std::string& config_toml, int64_t step) noexcept {
  Impl& impl = *impl_;
  quietly([&] {
    impl.store_job(0,
                   [&impl, config_toml, step] { impl.store->reopen(impl.run, config_toml, step); });
    impl.events_job(0, [&impl, step] { impl.open_events(step + 1); });
    impl.work();
  });
}

void RunRecorder::set_status(RunStatus status) noexcept {
  Impl& impl = *impl_;
  quietly([&] {
    impl.store_job(0, [&impl, status] { impl.store->set_status(impl.run, status); });
    impl.work();
  });
}

bool RunRecorder::finish(RunStatus status) noexcept {
  Impl& impl = *impl_;
  if (!impl.begun) return true;
  bool complete = false;
  quietly([&] {
    impl.store_job(0, [&impl, status] { impl.store->set_status(impl.run, status); });
    impl.attempt_end();
    complete = impl.to_store.is_complete() && impl.to_events.is_complete();
    const auto tell = [&impl](const Backlog& backlog, const char* place, const std::string& more) {
      if (backlog.is_complete()) return;
      const auto values = static_cast<int64_t>(backlog.waiting() + backlog.dropped());
      std::string lost = values > 0 ? counted(values, "value") : "";
      if (!backlog.empty() && !more.empty()) lost += (lost.empty() ? "" : " and ") + more;
      impl.options.note(fmt::format("{} {}{}{}", place,
                                    lost.empty() ? "could not be opened" : "lacks " + lost,
                                    backlog.reason().empty() ? "" : ": ", backlog.reason()));
    };
    tell(impl.to_store, "the run store", fmt::format("that the run is {}", status_name(status)));
    tell(impl.to_events, "TensorBoard's copy", "");
  });
  return complete;
}

}  // namespace fathom
