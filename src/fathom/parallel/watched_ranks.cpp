#include "fathom/parallel/watched_ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/processors.h"
#include "fathom/parallel/meeting_store.h"
#include "fathom/track/console.h"
#include "fathom/track/guarded.h"

namespace fathom {
namespace {

#ifdef USE_C10D_GLOO
std::unique_ptr<Counters> counters_of(const Launch& launch, const Ranks& ranks) {
  if (!launch.file.empty()) return counters_in_file(launch.counters, launch.size);
  return counters_in_store(launch, ranks.meeting());
}
#else
Launch beside_foreign_store(Launch launch, const RanksOptions& /*options*/) {
  return launch;
}

std::unique_ptr<Counters> counters_of(const Launch& launch, const Ranks& /*ranks*/) {
  return counters_in_file(launch.counters, launch.size);
}
#endif

// Of the ranks of a machine one says what it waits for. Those of --nproc are watched by what has
// started them, and meet as soon as they are loaded.
void tell_waiting(const Launch& launch, RanksOptions& options) {
  if (launch.local_rank > 0 || !launch.file.empty()) return;
  options.note = [](const std::string& sentence) {
    say(stderr, fmt::format("{}note: {}\n", rank_mark(), sentence));
  };
}

}  // namespace

WatchedRanks::WatchedRanks(const Launch& given) {
  if (given.size == 1) {
    ranks_ = std::make_shared<Ranks>();
    return;
  }
  // The ranks ask a heartbeat that begins when they have met.
  const auto begun = std::make_shared<std::weak_ptr<Heartbeat>>();
  RanksOptions options;
  options.trouble = [begun]() -> std::string {
    const std::shared_ptr<Heartbeat> heartbeat = begun->lock();
    const auto lost = heartbeat ? heartbeat->lost() : std::nullopt;
    return lost ? as_error(*lost).what() : "";
  };
  // To load the program takes a processor's time, which ranks may have to share.
  options.start_timeout *= std::max(1, given.local_size / allowed_processors());
  tell_waiting(given, options);
  const Launch launch = beside_foreign_store(given, options);
  ranks_ = std::make_shared<Ranks>(launch, options);
  delay_errors({});  // what ends one of them now is not what ends all
  heartbeat_ = std::make_shared<Heartbeat>(launch, counters_of(launch, *ranks_));
  *begun = heartbeat_;
}

WatchedRanks::~WatchedRanks() = default;

int WatchedRanks::say_once(const std::function<int()>& work) {
  try {
    return work();
  } catch (const std::exception& exception) {
    const Error error = fathom::as_error(exception);
    if (heartbeat_ == nullptr || !heartbeat_->is_said(error)) throw;
    return exit_code_of(error);
  }
}

void WatchedRanks::part() {
  if (heartbeat_ == nullptr) return;
  ranks_->barrier();
  heartbeat_->finish();
}

}  // namespace fathom
