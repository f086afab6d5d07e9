// Ranks that a heartbeat watches: what a process that was started as one of several has.
#pragma once

#include <functional>
#include <memory>

#include "fathom/parallel/heartbeat.h"
#include "fathom/parallel/ranks.h"

namespace fathom {

class WatchedRanks {
 public:
  // Meets the others; one alone meets nobody. Throws Error as Ranks does. From now on the process
  // ends within half a minute where one of them is lost or stopped, and says which.
  explicit WatchedRanks(const Launch& launch);
  // Where an exception is under way, the others are told.
  ~WatchedRanks();
  WatchedRanks(const WatchedRanks&) = delete;
  WatchedRanks& operator=(const WatchedRanks&) = delete;

  const std::shared_ptr<Ranks>& ranks() const { return ranks_; }
  // Does the work and returns what it does. An error of all ranks is rank 0's to say: on the others
  // it becomes its exit code. One that this rank alone ends with goes on to the caller.
  int say_once(const std::function<int()>& work);
  // The work is done: waits for the others to say so too. Nobody is missed after it.
  void part();

 private:
  std::shared_ptr<Ranks> ranks_;
  std::shared_ptr<Heartbeat> heartbeat_;  // null: alone; its last word needs what the ranks have
};

}  // namespace fathom
