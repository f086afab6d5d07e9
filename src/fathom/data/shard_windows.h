// Windows of the token shards of a corpus, as data sets.
//
// Each takes `ahead`: how many tokens an objective looks beyond the next one. With S of them a
// batch has the column "ahead", S a sequence: the tokens that follow its last target, -1 behind the
// end of the shard. The windows are the same whatever S is.
//
// B rows, T tokens a row.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "fathom/base/random.h"
#include "fathom/data/corpus.h"
#include "fathom/data/data_set.h"

namespace fathom {

// nanoGPT's rule: every row starts anywhere, uniformly and with replacement, in [0, n - T) of a
// split of n tokens. Row b of batch i of rank r is draw number (i * world + r) * B + b of the
// stream "data/<split>", so one rank with 8 rows, two with 4, or 8 batches of one row see the same
// windows.
//
// With several shards the starts of each are [0, n_k - T), and the draw is uniform over all of them
// together: a window never crosses from one shard into the next, and a shard of T tokens or fewer
// is never drawn from.
//
// `behind` tokens less are starts, [0, n_k - T - behind): of windows behind whose T tokens and the
// next one others must be there (shifted.h).
//
// Cursor: "batch", batches drawn so far.
class RandomWindows : public DataSet {
 public:
  RandomWindows(Corpus corpus, std::string split, int64_t B, int64_t T, uint64_t seed,
                int64_t rank = 0, int64_t world = 1, int64_t ahead = 0, int64_t behind = 0);
  Drawn next(const Cursor& cursor) const override;
  // As many as do not overlap: what an epoch means where windows are drawn with replacement.
  std::optional<int64_t> samples() const override;

 private:
  Corpus corpus_;
  std::string split_;
  int64_t B_, T_, rank_, world_, ahead_;
  RandomStream stream_;
  std::vector<uint64_t> starts_before_;  // entry k: possible starts in the shards before shard k
};

// Every target of a split once, for evaluation: windows of T targets one behind the other, shard by
// shard. A shard's last window is filled up with token 0 and target -1, and the last batch has
// fewer rows.
//
// Cursor: "batch".
class EveryWindow : public DataSet {
 public:
  EveryWindow(Corpus corpus, std::string split, int64_t B, int64_t T, int64_t ahead = 0);
  Drawn next(const Cursor& cursor) const override;
  std::optional<int64_t> samples() const override { return windows_before_.back(); }
  int64_t batches() const { return (windows_before_.back() + B_ - 1) / B_; }

 private:
  Corpus corpus_;
  std::string split_;
  int64_t B_, T_, ahead_;
  std::vector<int64_t> windows_before_;  // entry k: windows in the shards before shard k
};

// Every token in order: a batch is the B*T tokens at `position`, rank r
// begins a shard at B*T*r, and all advance by B*T*world. When position + B*T*world + 1 exceeds the
// shard, the next shard follows, the first after the last; what is left of the shard is dropped. A
// shard that is too short for one batch of every rank is passed over.
//
// As in the notebook, each rank tests its own position, so a higher rank may leave a shard one
// batch earlier than a lower one.
//
// Draws::kRows: the same rows in the same order, one a draw, so that whoever takes B of them has
// the batch, and whoever takes them otherwise has the same rows.
//
// Cursor: "batch", draws so far, "shard" and "position", a token in it. A place that was reached
// with another B is a place too: what is left of a batch there is given first.
class SequentialShards : public DataSet {
 public:
  enum class Draws { kBatches, kRows };
  SequentialShards(Corpus corpus, std::string split, int64_t B, int64_t T, int64_t rank = 0,
                   int64_t world = 1, int64_t ahead = 0, Draws draws = Draws::kBatches);
  Cursor start() const override;
  Drawn next(const Cursor& cursor) const override;
  // kBatches: windows that the shards hold side by side. kRows: exactly those that are given until
  // the first one comes again.
  std::optional<int64_t> samples() const override;

 private:
  int64_t usable_shard_from(int64_t shard) const;
  Cursor after(int64_t index, int64_t position, int64_t batch) const;

  Corpus corpus_;
  std::string split_;
  int64_t B_, T_, rank_, world_, ahead_;
  bool by_row_;
};

// Batches of B rows of T tokens that SequentialShards takes from a shard of `tokens` tokens each
// time it comes by: what the notebook calls an epoch, 12,207 of 8 * 1,024 in 10^8. 0: it is too
// short.
int64_t sequential_batches(int64_t tokens, int64_t B, int64_t T, int64_t rank = 0,
                           int64_t world = 1);

}  // namespace fathom
