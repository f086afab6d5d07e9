#include "fathom/parallel/watched_ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/processors.h"
#include "fathom/track/guarded.h"

#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace fathom {
namespace {

#ifdef USE_C10D_GLOO
// In the store of the ranks, by a connection of its own: the ranks' may wait in it for long.
class StoreCounters : public Counters {
 public:
  explicit StoreCounters(const Launch& launch)
      : prefix_(fmt::format("fathom_{}/heartbeat/", launch.restarts)) {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(launch.port);
    options.waitWorkers = false;
    store_ = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
  }
  int64_t add(int slot, int64_t by) override {
    return store_->add(prefix_ + std::to_string(slot), by);
  }

 private:
  std::string prefix_;
  c10::intrusive_ptr<c10d::TCPStore> store_;
};

// The launcher's own store may be one of another version than libtorch here, which ends connections
// that do not begin as its own do. All ranks see that, and meet at another port of that machine.
Launch with_store(Launch launch) {
  if (!launch.store_is_there) return launch;
  try {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(launch.port);
    options.waitWorkers = false;
    options.timeout = RanksOptions().start_timeout;
    c10d::TCPStore(launch.address, options).add(fmt::format("fathom_{}/asked", launch.restarts), 1);
  } catch (const std::exception&) {
    const std::string place = fmt::format("{}:{} {}", launch.address, launch.port, launch.restarts);
    launch.port = 15000 + static_cast<int>(std::hash<std::string>()(place) % 15000);
    launch.store_is_there = false;
    if (launch.is_local()) launch.address = "127.0.0.1";
  }
  return launch;
}

std::unique_ptr<Counters> counters_of(const Launch& launch) {
  if (!launch.file.empty()) return counters_in_file(launch.counters, launch.size);
  return std::make_unique<StoreCounters>(launch);
}
#else
Launch with_store(Launch launch) {
  return launch;
}

std::unique_ptr<Counters> counters_of(const Launch& launch) {
  return counters_in_file(launch.counters, launch.size);
}
#endif

}  // namespace

WatchedRanks::WatchedRanks(const Launch& given) {
  const Launch launch = with_store(given);
  if (launch.size == 1) {
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
  options.start_timeout *= std::max(1, launch.local_size / allowed_processors());
  ranks_ = std::make_shared<Ranks>(launch, options);
  delay_errors({});  // what ends one of them now is not what ends all
  heartbeat_ = std::make_shared<Heartbeat>(launch, counters_of(launch));
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
