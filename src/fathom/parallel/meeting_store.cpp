#include "fathom/parallel/meeting_store.h"

#ifdef USE_C10D_GLOO
#include <fmt/format.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/parallel/meeting.h"

namespace fathom {
namespace {

using std::chrono::milliseconds;
using StorePtr = c10::intrusive_ptr<c10d::Store>;

constexpr char kPrefix[] = "fathom";  // of all keys, in a store that may be the launcher's

// Rank 0's own is on its own machine, whatever name that has for the others.
StorePtr store_at(const Launch& launch, bool opens, milliseconds timeout) {
  const bool is_own = launch.rank == 0 && !launch.store_is_there;
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(launch.port);
  options.isServer = opens;
  options.waitWorkers = false;
  options.timeout = std::max(timeout, milliseconds(1000));  // it counts whole seconds
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  options.useLibUV = false;  // the default, which not every libtorch is built with (Debian 13's)
#endif
  return c10::make_intrusive<c10d::TCPStore>(is_own ? "127.0.0.1" : launch.address, options);
}

enum class Answer { kStore, kOther, kNone };

// By a number that the store counts up for this question alone. On a thread of its own, which is
// left alone where no answer comes: the library would wait for ever.
Answer ask_once(const Launch& launch, milliseconds patience) {
  constexpr int64_t kMostQuestions = int64_t{1} << 30;  // bytes of other words are larger numbers
  struct Reply {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Answer> answer;
  };
  const auto reply = std::make_shared<Reply>();
  std::thread([reply, launch, patience] {
    Answer answer = Answer::kOther;
    try {
      // Whoever takes no connection for so long is not waited for here.
      const StorePtr store = store_at(launch, /*opens=*/false, patience + milliseconds(1000));
      const int64_t count = store->add(std::string(kPrefix) + "/asked", 1);
      if (0 < count && count < kMostQuestions) answer = Answer::kStore;
    } catch (const std::exception&) {  // it ended the connection
    }
    const std::lock_guard<std::mutex> lock(reply->mutex);
    reply->answer = answer;
    reply->changed.notify_all();
  }).detach();
  std::unique_lock<std::mutex> lock(reply->mutex);
  reply->changed.wait_for(lock, patience, [&] { return reply->answer.has_value(); });
  return reply->answer.value_or(Answer::kNone);
}

// Whether what listens there is such a store; a connection that breaks once is tried again. Throws
// Error where nobody answers, which says nothing of that.
bool is_store(const Launch& launch, const std::string& who, milliseconds patience) {
  std::string why;
  for (int question = 0; question < 2 && why.empty(); ++question) {
    const Answer answer = ask_once(launch, patience);
    if (answer == Answer::kStore) return true;
    if (answer == Answer::kNone) {
      why = fmt::format("it took the connection and said nothing for {:g} s",
                        static_cast<double>(patience.count()) / 1000);
    } else {
      std::this_thread::sleep_for(milliseconds(200));
      why = silence_at(launch);
    }
  }
  if (why.empty()) return false;
  fail(
      fmt::format("rank {} of {} has no answer from {} at {}: {}", launch.rank, launch.size, who,
                  place_of(launch), why),
      "it was lost or stopped, the network between is cut, or another program has that port, where "
      "another MASTER_PORT helps");
}

[[noreturn]] void fail_to_listen(int port, const std::string& why) {
  fail(fmt::format("rank 0 cannot listen at port {}, where the others are to meet it: {}", port,
                   why),
       "set MASTER_PORT (torchrun's --master_port) for all ranks to a port that is free there, "
       "1,024 or above");
}

StorePtr opened_store(const Launch& launch, milliseconds timeout) {
  if (const std::string why = trouble_to_listen(launch.port); !why.empty())
    fail_to_listen(launch.port, why);
  try {
    return store_at(launch, /*opens=*/true, timeout);
  } catch (const std::exception& e) {
    fail_to_listen(launch.port, first_line_of(e.what()));
  }
}

class StoreCounters : public Counters {
 public:
  StoreCounters(const Launch& launch, const std::string& meeting)
      : prefix_(fmt::format("{}/{}/heartbeat/", kPrefix, meeting)),
        store_(store_at(launch, /*opens=*/false, c10d::Store::kDefaultTimeout)) {}
  int64_t add(int slot, int64_t by) override {
    return store_->add(prefix_ + std::to_string(slot), by);
  }

 private:
  std::string prefix_;
  StorePtr store_;
};

std::string owner_of_store(const Launch& launch) {
  return launch.store_is_there ? launch.by + "'s store" : "rank 0";
}

}  // namespace

std::string first_line_of(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

Launch beside_foreign_store(Launch launch, const RanksOptions& options) {
  if (launch.size == 1 || !launch.store_is_there) return launch;
  const std::string who = owner_of_store(launch);
  Wait wait(options.start());
  await_listener(launch, who, wait);
  if (is_store(launch, who, options.timeout)) return launch;
  // Of what all of them know alike.
  const std::string place = fmt::format("{}:{} {}", launch.address, launch.port, launch.id);
  launch.port = 15000 + static_cast<int>(std::hash<std::string>()(place) % 15000);
  launch.store_is_there = false;
  if (launch.is_local()) launch.address = "127.0.0.1";
  return launch;
}

MeetingStore meeting_store(const Launch& launch, const RanksOptions& options, Wait& wait) {
  StorePtr store;
  if (!launch.file.empty()) {
    store = c10::make_intrusive<c10d::FileStore>(launch.file, launch.size);
  } else if (launch.rank == 0 && !launch.store_is_there) {
    store = opened_store(launch, options.start_timeout);
  } else {
    const std::string who = owner_of_store(launch);
    await_listener(launch, who, wait);
    if (!is_store(launch, who, options.timeout))
      fail(fmt::format("what listens at {} is not {}'s store, as rank {} of {} knows it: another "
                       "program, or another version of libtorch",
                       place_of(launch), who, launch.rank, launch.size),
           "start all ranks with the same fathom, and set MASTER_PORT to a port that is free on "
           "rank 0's machine");
    store = store_at(launch, /*opens=*/false, options.start_timeout);
  }
  store = c10::make_intrusive<c10d::PrefixStore>(kPrefix, store);
  const std::string meeting = meet(*store, launch, options, wait);
  return {c10::make_intrusive<c10d::PrefixStore>(meeting, store), meeting};
}

std::unique_ptr<Counters> counters_in_store(const Launch& launch, const std::string& meeting) {
  return std::make_unique<StoreCounters>(launch, meeting);
}

}  // namespace fathom
#endif
