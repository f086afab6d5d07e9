// The keys that each query sees, as kernels/attention.h wants them told: of a description on the
// processor. Internal to ops/.
#pragma once

#include <vector>

#include "fathom/kernels/attention.h"
#include "fathom/ops/attention_mask.h"

namespace fathom {

class SeenKeys {
 public:
  // Asks for memory only where there is more than ever before.
  void find(const AttentionMask& mask);
  // The pointers are valid until the next find().
  void tell(AttentionProblem& problem) const;

 private:
  struct Run {
    int64_t segment, first, last;
  };
  // Both write the sequence's ranges. find_ranges: false where ranges and hidden keys cannot say
  // it: keys that are not in the order of their positions, segments that take turns, and who sees
  // the future but not itself.
  bool find_ranges(const AttentionMask& mask, int64_t b);
  void find_pairs(const AttentionMask& mask, int64_t b);
  bool find_runs(const AttentionRows& keys, int64_t b);
  bool find_hidden(const AttentionMask& mask, int64_t b);

  int64_t Q_ = 0, K_ = 0;
  std::vector<KeyRange> ranges_;  // (B, Q)
  std::vector<float> hidden_;     // (B, K)
  std::vector<int32_t> own_;      // (B, Q)
  std::vector<uint8_t> blocked_;  // (B, Q, K)
  bool holes_ = false, by_pair_ = false, has_own_ = false;
  // Of one sequence: segments in order of their numbers; the first key from each on that is not
  // hidden, the end of those before it, and how many are hidden before it.
  std::vector<Run> runs_;
  std::vector<int32_t> next_, end_, count_;
};

}  // namespace fathom
