// Batches of tokens as a pure function of a cursor: the same cursor gives the same batch, whoever
// asks, in whatever order, before or after an interruption. A checkpoint stores the cursor and
// nothing else.
//
// B rows, T tokens a row.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "fathom/base/random.h"
#include "fathom/data/corpus.h"

namespace fathom {

struct TokenBatch {
  int64_t B = 0, T = 0;
  std::vector<int64_t> tokens;   // (B, T), row-major
  std::vector<int64_t> targets;  // (B, T): the token that follows; -1 = ignored
  std::vector<char> valid;       // (B, T): 0 where there is no token; empty: all are
};

// The rows of `more` behind those of `all`, which may have none. Every column goes along. Throws
// Error for rows of another length.
void append(TokenBatch& all, const TokenBatch& more);

struct Cursor {
  int64_t batch = 0;     // batches drawn so far
  int64_t shard = 0;     // SequentialShards: index of the current shard
  int64_t position = 0;  // SequentialShards: token in it
};

inline bool operator==(const Cursor& a, const Cursor& b) {
  return a.batch == b.batch && a.shard == b.shard && a.position == b.position;
}
void to_json(nlohmann::json& json, const Cursor& cursor);
void from_json(const nlohmann::json& json, Cursor& cursor);  // throws Error

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual Cursor start() const = 0;
  // The batch at `cursor` and the cursor after it. Thread-safe. Throws Error for a cursor that does
  // not fit the corpus, and for a token that is outside the corpus's vocabulary.
  virtual std::pair<TokenBatch, Cursor> next(const Cursor& cursor) const = 0;
};

// nanoGPT's rule: every row starts anywhere, uniformly and with replacement, in [0, n - T) of a
// split of n tokens. Row b of batch i of rank r is draw number (i * world + r) * B + b of the
// stream "data/<split>", so one rank with 8 rows, two with 4, or 8 batches of one row see the same
// windows.
//
// With several shards the starts of each are [0, n_k - T), and the draw is uniform over all of them
// together: a window never crosses from one shard into the next, and a shard of T tokens or fewer
// is never drawn from.
class RandomWindows : public BatchSource {
 public:
  RandomWindows(Corpus corpus, std::string split, int64_t B, int64_t T, uint64_t seed,
                int64_t rank = 0, int64_t world = 1);
  Cursor start() const override { return {}; }
  std::pair<TokenBatch, Cursor> next(const Cursor& cursor) const override;

 private:
  Corpus corpus_;
  std::string split_;
  int64_t B_, T_, rank_, world_;
  RandomStream stream_;
  std::vector<uint64_t> starts_before_;  // entry k: possible starts in the shards before shard k
};

// Every target of a split once, for evaluation: windows of T targets one behind the other, shard by
// shard. A shard's last window is filled up with token 0 and target -1, and the last batch has
// fewer rows.
class EveryWindow : public BatchSource {
 public:
  EveryWindow(Corpus corpus, std::string split, int64_t B, int64_t T);
  Cursor start() const override { return {}; }
  std::pair<TokenBatch, Cursor> next(const Cursor& cursor) const override;
  int64_t batches() const { return (windows_before_.back() + B_ - 1) / B_; }

 private:
  Corpus corpus_;
  std::string split_;
  int64_t B_, T_;
  std::vector<int64_t> windows_before_;  // entry k: windows in the shards before shard k
};

// Every token in order (spec/blockalgebra.md R13): a batch is the B*T tokens at `position`, rank r
// begins a shard at B*T*r, and all advance by B*T*world. When position + B*T*world + 1 exceeds the
// shard, the next shard follows, the first after the last; what is left of the shard is dropped. A
// shard that is too short for one batch of every rank is passed over.
//
// As in the notebook, each rank tests its own position, so a higher rank may leave a shard one
// batch earlier than a lower one.
class SequentialShards : public BatchSource {
 public:
  SequentialShards(Corpus corpus, std::string split, int64_t B, int64_t T, int64_t rank = 0,
                   int64_t world = 1);
  Cursor start() const override;
  std::pair<TokenBatch, Cursor> next(const Cursor& cursor) const override;

 private:
  int64_t usable_shard_from(int64_t shard) const;

  Corpus corpus_;
  std::string split_;
  int64_t B_, T_, rank_, world_;
};

}  // namespace fathom
