// Which rank has been lost or stopped. Each counts up a number of its own every two
// seconds and looks at those of the ranks after it; whoever finds that one stands still tells all.
//
// What waits for a lost rank in a collective call cannot be woken, and what the transport says of
// it is an address, or a neighbour that only waits as well: so the sentence comes from here, and
// the process ends within half a minute.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/parallel/launch.h"

namespace fathom {

// Numbers that all ranks see, 0 at first.
class Counters {
 public:
  virtual ~Counters() = default;
  // Adds to one of them and returns what it is then, in one step for all. May take as long as it
  // likes, and throws what it likes where there is no answer.
  virtual int64_t add(int slot, int64_t by) = 0;
};

// In a file that the ranks of one machine share. Throws Error.
std::unique_ptr<Counters> counters_in_file(const std::string& path, int size);

// Where a rank's numbers are.
namespace heartbeat_slots {
inline int beats(int rank) {
  return rank;
}
inline int finders(int size) {  // how many have found one lost
  return size;
}
inline int lost(int size) {  // which, and why; 0: none
  return size + 1;
}
inline int said(int size) {  // the error that all end with, as a number; 0: none
  return size + 2;
}
inline int sayers(int size) {  // how many of rank 0 and its launcher wanted to say one
  return size + 3;
}
inline int count(int size) {
  return size + 4;
}
}  // namespace heartbeat_slots

enum class LossKind { kSilent, kFailed, kKilled, kStopped, kUnreachable };
struct LostRank {
  int rank = 0;
  LossKind kind = LossKind::kSilent;
  int signal = 0;  // by which it was killed or stopped
};
// Tells all ranks, unless another one has been told of; returns what they were told.
LostRank tell_lost(Counters& counters, int size, LostRank lost);
// "rank 1 has not been heard of for 10 s: ..."
Error as_error(const LostRank& lost);

// Of an error that a process ends with: whether another one says it. What all of them end with is
// said by those that `speaks`, rank 0 and its launcher, the first of the two; the others wait for
// them, within `patience`. False: the words are its own, or nobody says them.
bool is_said(Counters& counters, int size, const Error& error, bool speaks,
             std::chrono::milliseconds patience);

using HeartbeatClock = std::chrono::steady_clock;
struct HeartbeatTimes {
  std::chrono::milliseconds interval{2000};  // of beats
  std::chrono::milliseconds silence{10000};  // after which a rank is lost
  std::chrono::milliseconds grace{5000};     // that work gets to end by itself when one is
  int watched = 8;                           // ranks that each one looks at
  std::chrono::milliseconds patience{3000};  // of is_said()
};

// One rank's looking, as a value: no thread, no clock of its own.
class HeartbeatWatch {
 public:
  HeartbeatWatch(int rank, int size, HeartbeatTimes times);
  // Counts up the own number and looks at the others. Where the rank itself was not running for
  // long (stopped, asleep with its machine), the others' silence is counted anew.
  std::optional<LostRank> look(Counters& counters, HeartbeatClock::time_point now);

 private:
  struct Seen {
    int rank = 0;
    int64_t beats = 0;
    HeartbeatClock::time_point since = {};
  };
  int rank_, size_;
  HeartbeatTimes times_;
  std::optional<HeartbeatClock::time_point> last_;
  std::vector<Seen> seen_;
};

// The threads that do it, from before the first call that all ranks make together until finish().
class Heartbeat {
 public:
  // `end` is called from a thread where a rank was lost and the process has not ended by itself
  // within `grace`; without one the sentence is printed, unless it is_said(), and the process ends
  // with exit code 1.
  Heartbeat(const Launch& launch, std::unique_ptr<Counters> counters, HeartbeatTimes times = {},
            std::function<void(const Error&)> end = {});
  ~Heartbeat();  // finish(); where an exception is under way, the others learn that it failed
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // All ranks are through: from now on nobody misses this one. To be called before a last barrier,
  // for the numbers may go with rank 0.
  void finish() noexcept;

  std::optional<LostRank> lost() const;

  // The same of this rank's; to be asked once. Also of any that follows another rank's failure
  // where --nproc has started them: they share a console, and that one has said why.
  bool is_said(const Error& error);

 private:
  class Threads;
  std::shared_ptr<Threads> threads_;  // which may outlive it: an answer may never come
  int exceptions_;                    // under way when it was made
};

}  // namespace fathom
