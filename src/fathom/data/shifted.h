// Rows that begin with a shift token (shift.h), made of windows of a text.
//
//   tokens    V0 + s - 1, d_0, d_1, ...            L tokens of a window of L - 1
//   targets   -1,         d_s, d_{s+1}, ...        so the token d_j has the target d_{j+s}
//
// With shift 1 these are a language model's targets. What follows a window's last target comes from
// its column "ahead" (data_set's `ahead` = S - 1); -1 where that has nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fathom/base/random.h"
#include "fathom/data/corpus.h"
#include "fathom/data/data_set.h"
#include "fathom/data/shift.h"

namespace fathom {

struct ShiftOptions {
  ShiftOdds odds;          // odds.max_shift = 0: rows have no shift, and nothing is changed
  int64_t text_vocab = 0;  // V0
  // Every row's shift; 0: rows without a shift token, d_0, d_1, ... with the targets d_1, d_2, ...
  // Unset: drawn.
  std::optional<int64_t> fixed = {};
};

// The rows of `windows`, each with its shift, 0 for none. Whatever belongs to a target (its weight,
// whether it is of an answer) moves with it; the shift token is valid, has the row's first segment
// and position 0, and the labels of others are 0. Throws Error for a window whose "ahead" is
// shorter than its shift needs.
TokenBatch shifted_rows(const TokenBatch& windows, const std::vector<int64_t>& shifts,
                        int64_t text_vocab);

// Row number n of the data set has the shift that value n of the stream "data/shift" of the seed
// draws, whatever batches the rows come in.
//
// Cursor: "row", rows so far, and the other's as "data".
class Shifted : public DataSet {
 public:
  // Throws Error(kUsage) for options that draw nothing, and for a fixed shift that there is not.
  // next() throws Error where text_vocab is 0.
  Shifted(std::shared_ptr<const DataSet> windows, const ShiftOptions& options, uint64_t seed);

  Cursor start() const override;
  Drawn next(const Cursor& cursor) const override;
  std::optional<int64_t> samples() const override { return windows_->samples(); }
  bool is_between_samples(const Cursor& cursor) const override {
    return windows_->is_between_samples(cursor.part("data"));
  }
  Cursor next_sample(const Cursor& cursor) const override;

 private:
  std::shared_ptr<const DataSet> windows_;
  ShiftOptions options_;
  std::vector<double> probabilities_;
  RandomStream stream_;
};

// Throws Error unless every split of shards has a shard with more than block_size - 1 + max_shift
// tokens: a row's text and what its largest shift predicts. Rows are of any length.
void require_shifts(const Corpus& corpus, int64_t block_size, int64_t max_shift);

// What the first `draws` batches have for targets.
struct TargetFacts {
  int64_t count = 0;
  // Nats of a target that is guessed by its frequency alone: sum -p ln p, and (m - 1) / 2n for the
  // m ids among n targets by which counts are too sure (Miller 1955). What knowing nothing of the
  // text costs, at any shift.
  double unigram_entropy = 0;
};
TargetFacts target_facts(const DataSet& data, int64_t draws);

}  // namespace fathom
