#include "fathom/data/shard_windows.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/data/shard_facts.h"

namespace fathom {
namespace {

void check_shape(int64_t B, int64_t T, int64_t rank, int64_t world, int64_t ahead) {
  if (B < 1 || T < 1) misuse(fmt::format("a batch of {} rows of {} tokens is empty", B, T));
  if (world < 1 || rank < 0 || rank >= world)
    misuse(fmt::format("rank {} is not one of {} ranks", rank, world));
  if (ahead < 0 || ahead > T)
    misuse(fmt::format("a window of {} tokens cannot look {} ahead", T, ahead));
}

[[noreturn]] void fail_cursor(const Cursor& cursor, const Corpus& corpus) {
  fail(fmt::format(
           "the data position (batch {}, shard {}, token {}) does not exist in the corpus {}",
           cursor["batch"], cursor["shard"], cursor["position"], corpus.name()),
       "it belongs to another corpus, or the corpus was prepared again");
}

// False where no number would be left for the batch after it.
bool has_next(const Cursor& cursor) {
  return cursor["batch"] >= 0 && cursor["batch"] < INT64_MAX;
}

// tokens[0 .. n) and targets[0 .. n) from n + 1 tokens of a shard.
void read_window(const Corpus& corpus, const TokenShard& shard, uint64_t offset, int64_t n,
                 int64_t* tokens, int64_t* targets) {
  const auto length = static_cast<size_t>(n);
  shard.copy(offset, {tokens, length});
  std::copy(tokens + 1, tokens + n, targets);
  shard.copy(offset + length, {targets + n - 1, 1});
  if (corpus.vocab_size() == 0) return;
  // Also seen when the corpus was opened; a file may change.
  const auto check = [&](uint64_t at, int64_t token) {
    if (token >= corpus.vocab_size()) fail_id(shard, at, token, corpus.vocab_size());
  };
  for (size_t i = 0; i < length; ++i) check(offset + i, tokens[i]);
  check(offset + length, targets[n - 1]);
}

// The column "ahead" of a batch whose row b begins at token offsets[b] of shards[b].
void add_ahead(TokenBatch& batch, int64_t ahead, const std::vector<const TokenShard*>& shards,
               const std::vector<uint64_t>& offsets) {
  if (ahead == 0) return;
  WholeNumbers values(static_cast<size_t>(batch.B * ahead), -1);
  for (size_t b = 0; b < shards.size(); ++b) {
    const uint64_t first = offsets[b] + static_cast<uint64_t>(batch.T) + 1;
    const uint64_t size = shards[b]->size();
    const size_t count = first < size ? std::min<uint64_t>(size - first, size_t(ahead)) : 0;
    if (count > 0) shards[b]->copy(first, {&values[b * static_cast<size_t>(ahead)], count});
  }
  batch.columns.push_back({"ahead", std::move(values), ahead});
}

// The whole windows of T targets that the shards hold side by side.
int64_t windows_side_by_side(const std::vector<TokenShard>& shards, int64_t T) {
  int64_t count = 0;
  for (const TokenShard& shard : shards)
    count += shard.size() > 0 ? (static_cast<int64_t>(shard.size()) - 1) / T : 0;
  return count;
}

}  // namespace

RandomWindows::RandomWindows(Corpus corpus, std::string split, int64_t B, int64_t T, uint64_t seed,
                             int64_t rank, int64_t world, int64_t ahead, int64_t behind)
    : corpus_(std::move(corpus)),
      split_(std::move(split)),
      B_(B),
      T_(T),
      rank_(rank),
      world_(world),
      ahead_(ahead),
      stream_(seed, "data/" + split_),
      starts_before_{0} {
  check_shape(B, T, rank, world, ahead);
  const auto block = static_cast<uint64_t>(T + behind);
  for (const TokenShard& shard : corpus_.shards(split_))
    starts_before_.push_back(starts_before_.back() + shard.size() - std::min(shard.size(), block));
  if (starts_before_.back() == 0)
    fail(fmt::format("no shard of the split {} of {} has more than {} tokens, one block{}", split_,
                     corpus_.name(), T + behind, behind > 0 ? " and what it looks ahead" : ""),
         "a smaller --block_size, or a longer text");
}

std::optional<int64_t> RandomWindows::samples() const {
  return std::max<int64_t>(windows_side_by_side(corpus_.shards(split_), T_), 1);
}

Drawn RandomWindows::next(const Cursor& cursor) const {
  if (!has_next(cursor)) fail_cursor(cursor, corpus_);
  const std::vector<TokenShard>& shards = corpus_.shards(split_);
  TokenBatch batch = empty_batch(B_, T_);
  const int64_t rows = batch.B;
  // Unsigned: the counter may wrap, and a stream has 2^64 values.
  const uint64_t first = (static_cast<uint64_t>(cursor["batch"]) * static_cast<uint64_t>(world_) +
                          static_cast<uint64_t>(rank_)) *
                         static_cast<uint64_t>(B_);
  std::vector<const TokenShard*> places;
  std::vector<uint64_t> offsets;
  for (int64_t b = 0; b < B_; ++b) {
    const uint64_t start = stream_.below(first + static_cast<uint64_t>(b), starts_before_.back());
    const auto after = std::upper_bound(starts_before_.begin(), starts_before_.end(), start);
    const auto k = static_cast<size_t>(after - starts_before_.begin()) - 1;
    places.push_back(&shards[k]);
    offsets.push_back(start - starts_before_[k]);
    read_window(corpus_, shards[k], offsets.back(), T_, &batch.tokens[size_t(b * T_)],
                &batch.targets[size_t(b * T_)]);
  }
  add_ahead(batch, ahead_, places, offsets);
  return {std::move(batch), {{"batch", cursor["batch"] + 1}}, rows};
}

EveryWindow::EveryWindow(Corpus corpus, std::string split, int64_t B, int64_t T, int64_t ahead)
    : corpus_(std::move(corpus)),
      split_(std::move(split)),
      B_(B),
      T_(T),
      ahead_(ahead),
      windows_before_{0} {
  check_shape(B, T, 0, 1, ahead);
  for (const TokenShard& shard : corpus_.shards(split_)) {
    const auto targets = static_cast<int64_t>(shard.size()) - 1;
    windows_before_.push_back(windows_before_.back() + (targets + T - 1) / T);
  }
  if (windows_before_.back() == 0)
    fail(fmt::format("the split {} of {} has no two tokens in a row", split_, corpus_.name()),
         "a longer text");
}

Drawn EveryWindow::next(const Cursor& cursor) const {
  const int64_t index = cursor["batch"];
  if (index < 0 || index >= batches()) fail_cursor(cursor, corpus_);
  const int64_t first = index * B_, windows = windows_before_.back();
  const std::vector<TokenShard>& shards = corpus_.shards(split_);
  TokenBatch batch = empty_batch(std::min(B_, windows - first), T_);
  const int64_t rows = batch.B;
  std::vector<const TokenShard*> places;
  std::vector<uint64_t> offsets;
  for (int64_t b = 0; b < batch.B; ++b) {
    const auto after = std::upper_bound(windows_before_.begin(), windows_before_.end(), first + b);
    const auto k = static_cast<size_t>(after - windows_before_.begin()) - 1;
    const int64_t offset = (first + b - windows_before_[k]) * T_;
    const int64_t length = std::min(T_, static_cast<int64_t>(shards[k].size()) - 1 - offset);
    read_window(corpus_, shards[k], static_cast<uint64_t>(offset), length,
                &batch.tokens[size_t(b * T_)], &batch.targets[size_t(b * T_)]);
    places.push_back(&shards[k]);
    offsets.push_back(static_cast<uint64_t>(offset));
    if (length == T_) continue;
    std::fill_n(batch.per_token("valid").begin() + b * T_ + length, T_ - length, 0);
  }
  add_ahead(batch, ahead_, places, offsets);
  return {std::move(batch), {{"batch", cursor["batch"] + 1}}, rows};
}

SequentialShards::SequentialShards(Corpus corpus, std::string split, int64_t B, int64_t T,
                                   int64_t rank, int64_t world, int64_t ahead, Draws draws)
    : corpus_(std::move(corpus)),
      split_(std::move(split)),
      B_(B),
      T_(T),
      rank_(rank),
      world_(world),
      ahead_(ahead),
      by_row_(draws == Draws::kRows) {
  check_shape(B, T, rank, world, ahead);
  usable_shard_from(0);
}

// The first shard at or after `shard`, round the end, that holds one batch of every rank.
int64_t SequentialShards::usable_shard_from(int64_t shard) const {
  const std::vector<TokenShard>& shards = corpus_.shards(split_);
  const auto count = static_cast<int64_t>(shards.size());
  const auto needed = static_cast<uint64_t>(B_ * T_ * world_ + 1);
  for (int64_t i = 0; i < count; ++i)
    if (shards[size_t((shard + i) % count)].size() >= needed) return (shard + i) % count;
  fail(fmt::format(
           "no shard of the split {} of {} has the {} tokens that {} rows of {} tokens on {} "
           "ranks need",
           split_, corpus_.name(), needed, B_, T_, world_),
       "a smaller --batch_size or --block_size, or a longer text");
}

std::optional<int64_t> SequentialShards::samples() const {
  const std::vector<TokenShard>& shards = corpus_.shards(split_);
  if (!by_row_) return windows_side_by_side(shards, T_);
  int64_t rows = 0;
  for (const TokenShard& shard : shards)
    rows += B_ * sequential_batches(static_cast<int64_t>(shard.size()), B_, T_, rank_, world_);
  return rows;
}

Cursor SequentialShards::start() const {
  return {{"shard", usable_shard_from(0)}, {"position", B_ * T_ * rank_}};
}

// The place behind the draw at `position`.
Cursor SequentialShards::after(int64_t index, int64_t position, int64_t batch) const {
  const int64_t n = B_ * T_, stride = n * world_;
  const auto size = static_cast<int64_t>(corpus_.shards(split_)[size_t(index)].size());
  // Its row in the batch that every stride begins one of; B_ and more: in another rank's.
  const int64_t row =
      by_row_ ? ((position - n * rank_) % stride + stride) % stride / T_ : int64_t{0};
  const int64_t first = position - row * T_;
  const bool goes_on = by_row_ && row + 1 < B_ && position + 2 * T_ + 1 <= size;
  const bool stays = first + 2 * stride + 1 <= size;
  const int64_t next = goes_on ? position + T_ : stays ? first + stride : n * rank_;
  return {{"batch", batch + 1},
          {"shard", goes_on || stays ? index : usable_shard_from(index + 1)},
          {"position", next}};
}

Drawn SequentialShards::next(const Cursor& cursor) const {
  const std::vector<TokenShard>& shards = corpus_.shards(split_);
  const int64_t rows = by_row_ ? 1 : B_, n = rows * T_;
  const int64_t index = cursor["shard"], position = cursor["position"];
  if (!has_next(cursor) || index < 0 || position < 0 ||
      index >= static_cast<int64_t>(shards.size()))
    fail_cursor(cursor, corpus_);
  const TokenShard& shard = shards[size_t(index)];
  if (position > static_cast<int64_t>(shard.size()) - n - 1) fail_cursor(cursor, corpus_);

  TokenBatch batch = empty_batch(rows, T_);
  read_window(corpus_, shard, static_cast<uint64_t>(position), n, batch.tokens.data(),
              batch.targets.data());
  std::vector<uint64_t> offsets;
  for (int64_t b = 0; b < rows; ++b) offsets.push_back(static_cast<uint64_t>(position + b * T_));
  add_ahead(batch, ahead_, std::vector<const TokenShard*>(size_t(rows), &shard), offsets);
  return {std::move(batch), after(index, position, cursor["batch"]), rows};
}

int64_t sequential_batches(int64_t tokens, int64_t B, int64_t T, int64_t rank, int64_t world) {
  check_shape(B, T, rank, world, 0);
  const int64_t n = B * T, stride = n * world;
  if (tokens < stride + 1) return 0;
  // The first one always; another one as long as a stride and the last target are left behind it.
  return std::max<int64_t>(1, (tokens - 1 - n * rank) / stride);
}

}  // namespace fathom
