// The processes that train one model together, and what they tell each other. All of them make the
// same calls in the same order; what a call returns has the same bits on each of them.
//
// Whatever keeps one of them from answering ends the call with an Error that names it: a process
// that was lost, one that stopped, one that is slower than the timeout. After that none of the
// calls can be made.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/precision.h"
#include "fathom/ops/tensor.h"
#include "fathom/parallel/launch.h"
#include "fathom/parallel/launch_reach.h"

namespace fathom {

struct RanksOptions {
  // How long a call waits for the others, less than the 30 s within which all of them end.
  std::chrono::milliseconds timeout{20000};
  // How long the start waits for all of them to be there.
  std::chrono::milliseconds start_timeout{60000};
  // How long await_first() waits.
  std::chrono::milliseconds patience{600000};
  // How long one that has seen a failure waits for the others to say that they have seen it too.
  std::chrono::milliseconds answer{3000};
  // Asked once a second while a call waits, and when one has failed: a sentence about a rank that
  // is known to be lost; empty: none is.
  std::function<std::string()> trouble = {};
  // Told once where the start takes longer than that, what it waits for.
  std::chrono::milliseconds silence{5000};
  std::function<void(const std::string& sentence)> note = {};

  WaitOptions start() const { return {start_timeout, silence, note}; }
};

// A sum that is under way; its memory is the ranks' until wait() returns.
class PendingSum {
 public:
  virtual ~PendingSum() = default;
  virtual void wait() = 0;
  // When what travels without waiting for it had arrived; nothing: it has not yet.
  virtual std::optional<std::chrono::steady_clock::time_point> arrived() const = 0;
};

class Ranks {
 public:
  Ranks();  // one process alone: calls do nothing, and cost nothing
  // Meets the others: all have the same size and the same place to meet, and each another rank. A
  // size of 1 meets nobody and opens no port. Throws Error where they do not come, or where the
  // program was built without the library for it.
  explicit Ranks(const Launch& launch, const RanksOptions& options = RanksOptions());
  Ranks(Ranks&&) noexcept;
  Ranks& operator=(Ranks&&) noexcept;
  ~Ranks();

  // Whether the program can have more than one.
  static bool are_built_in();

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_alone() const { return size_ == 1; }
  bool is_first() const { return rank_ == 0; }
  // What this start of them is called in the store where they met; empty: alone.
  std::string meeting() const;

  // Sums over the ranks, in place, of contiguous tensors of the same shape and dtype (float32,
  // float64 or int64) on the processor.
  void sum(Tensor tensor);
  // By name, in double precision and in the order of the ranks; a name need not be everywhere.
  std::map<std::string, double> sum(const std::map<std::string, double>& numbers);
  bool any(bool here);
  // The sum of a flat float32 tensor on the processor, begun; others may be begun before it is
  // waited for, and are waited for in the same order. `dtype`, kFloat32 or kBFloat16, is that of
  // what travels: with kBFloat16 it is rounded, once before and once after the sum, which is of
  // float32.
  std::unique_ptr<PendingSum> start_sum(Tensor flat, Precision dtype = Precision::kFloat32);
  // What rank `from` has in a contiguous tensor on the processor, to all.
  void broadcast(Tensor tensor, int from = 0);
  std::string broadcast(const std::string& bytes, int from = 0);
  double broadcast(double number, int from = 0);
  // Of all ranks, by rank.
  std::vector<std::string> gather(const std::string& bytes);
  void barrier();
  // Waits for rank 0 in what the others have no part in and the timeout no say: writing a
  // checkpoint.
  void await_first();

  class Group;  // the collectives' library: group.h

 private:
  int rank_ = 0, size_ = 1;
  std::unique_ptr<Group> group_;  // null: alone
};

}  // namespace fathom
