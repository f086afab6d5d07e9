#include "fathom/data/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/data/shard_facts.h"

namespace fathom {
namespace {

void check_shape(int64_t B, int64_t T, int64_t rank, int64_t world) {
  if (B < 1 || T < 1) misuse(fmt::format("a batch of {} rows of {} tokens is empty", B, T));
  if (world < 1 || rank < 0 || rank >= world)
    misuse(fmt::format("rank {} is not one of {} ranks", rank, world));
}

[[noreturn]] void fail_cursor(const Cursor& cursor, const Corpus& corpus) {
  fail(fmt::format(
           "the data position (batch {}, shard {}, token {}) does not exist in the corpus {}",
           cursor.batch, cursor.shard, cursor.position, corpus.name()),
       "it belongs to another corpus, or the corpus was prepared again");
}

// False where no number would be left for the batch after it.
bool has_next(const Cursor& cursor) {
  return cursor.batch >= 0 && cursor.batch < INT64_MAX;
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

TokenBatch empty_batch(int64_t B, int64_t T) {
  TokenBatch batch;
  batch.B = B;
  batch.T = T;
  batch.tokens.resize(static_cast<size_t>(B * T));
  batch.targets.resize(static_cast<size_t>(B * T));
  return batch;
}

}  // namespace

void append(TokenBatch& all, const TokenBatch& more) {
  if (all.B == 0) return void(all = more);
  if (all.T != more.T) fail(fmt::format("rows of {} tokens do not fit rows of {}", more.T, all.T));
  // By all their members: one that is added does not compile before it is here.
  auto& [B, T, tokens, targets, valid] = all;
  const auto& [more_B, more_T, more_tokens, more_targets, more_valid] = more;
  if (!valid.empty() || !more_valid.empty()) {
    valid.resize(tokens.size(), 1);
    valid.insert(valid.end(), more_valid.begin(), more_valid.end());
    valid.resize(tokens.size() + more_tokens.size(), 1);
  }
  B += more_B;
  tokens.insert(tokens.end(), more_tokens.begin(), more_tokens.end());
  targets.insert(targets.end(), more_targets.begin(), more_targets.end());
}

void to_json(nlohmann::json& json, const Cursor& cursor) {
  json = {{"batch", cursor.batch}, {"shard", cursor.shard}, {"position", cursor.position}};
}

void from_json(const nlohmann::json& json, Cursor& cursor) {
  const auto read = [&](const char* key) {
    if (!json.is_object() || !json.contains(key) || !json[key].is_number_integer() ||
        json[key] < 0 || json[key] > INT64_MAX)
      fail(fmt::format("the data position has no count under \"{}\"", key));
    return json[key].get<int64_t>();
  };
  cursor = {read("batch"), read("shard"), read("position")};
}

RandomWindows::RandomWindows(Corpus corpus, std::string split, int64_t B, int64_t T, uint64_t seed,
                             int64_t rank, int64_t world)
    : corpus_(std::move(corpus)),
      split_(std::move(split)),
      B_(B),
      T_(T),
      rank_(rank),
      world_(world),
      stream_(seed, "data/" + split_),
      starts_before_{0} {
  check_shape(B, T, rank, world);
  const auto block = static_cast<uint64_t>(T);
  for (const TokenShard& shard : corpus_.shards(split_))
    starts_before_.push_back(starts_before_.back() + shard.size() - std::min(shard.size(), block));
  if (starts_before_.back() == 0)
    fail(fmt::format("no shard of the split {} of {} has more than {} tokens, one block", split_,
                     corpus_.name(), T),
         "a smaller --block_size, or a longer text");
}

std::pair<TokenBatch, Cursor> RandomWindows::next(const Cursor& cursor) const {
  if (!has_next(cursor)) fail_cursor(cursor, corpus_);
  const std::vector<TokenShard>& shards = corpus_.shards(split_);
  TokenBatch batch = empty_batch(B_, T_);
  // Unsigned: the counter may wrap, and a stream has 2^64 values.
  const uint64_t first = (static_cast<uint64_t>(cursor.batch) * static_cast<uint64_t>(world_) +
                          static_cast<uint64_t>(rank_)) *
                         static_cast<uint64_t>(B_);
  for (int64_t b = 0; b < B_; ++b) {
    const uint64_t start = stream_.below(first + static_cast<uint64_t>(b), starts_before_.back());
    const auto after = std::upper_bound(starts_before_.begin(), starts_before_.end(), start);
    const auto k = static_cast<size_t>(after - starts_before_.begin()) - 1;
    read_window(corpus_, shards[k], start - starts_before_[k], T_, &batch.tokens[size_t(b * T_)],
                &batch.targets[size_t(b * T_)]);
  }
  const Cursor after = {cursor.batch + 1, cursor.shard, cursor.position};
  return {std::move(batch), after};
}

EveryWindow::EveryWindow(Corpus corpus, std::string split, int64_t B, int64_t T)
    : corpus_(std::move(corpus)), split_(std::move(split)), B_(B), T_(T), windows_before_{0} {
  check_shape(B, T, 0, 1);
  for (const TokenShard& shard : corpus_.shards(split_)) {
    const auto targets = static_cast<int64_t>(shard.size()) - 1;
    windows_before_.push_back(windows_before_.back() + (targets + T - 1) / T);
  }
  if (windows_before_.back() == 0)
    fail(fmt::format("the split {} of {} has no two tokens in a row", split_, corpus_.name()),
         "a longer text");
}

std::pair<TokenBatch, Cursor> EveryWindow::next(const Cursor& cursor) const {
  if (cursor.batch < 0 || cursor.batch >= batches()) fail_cursor(cursor, corpus_);
  const int64_t first = cursor.batch * B_, windows = windows_before_.back();
  const std::vector<TokenShard>& shards = corpus_.shards(split_);
  TokenBatch batch = empty_batch(std::min(B_, windows - first), T_);
  std::fill(batch.targets.begin(), batch.targets.end(), -1);
  for (int64_t b = 0; b < batch.B; ++b) {
    const auto after = std::upper_bound(windows_before_.begin(), windows_before_.end(), first + b);
    const auto k = static_cast<size_t>(after - windows_before_.begin()) - 1;
    const int64_t offset = (first + b - windows_before_[k]) * T_;
    const int64_t length = std::min(T_, static_cast<int64_t>(shards[k].size()) - 1 - offset);
    read_window(corpus_, shards[k], static_cast<uint64_t>(offset), length,
                &batch.tokens[size_t(b * T_)], &batch.targets[size_t(b * T_)]);
    if (length == T_) continue;
    batch.valid.resize(batch.tokens.size(), 1);
    std::fill_n(batch.valid.begin() + b * T_ + length, T_ - length, 0);
  }
  const Cursor after = {cursor.batch + 1, cursor.shard, cursor.position};
  return {std::move(batch), after};
}

SequentialShards::SequentialShards(Corpus corpus, std::string split, int64_t B, int64_t T,
                                   int64_t rank, int64_t world)
    : corpus_(std::move(corpus)),
      split_(std::move(split)),
      B_(B),
      T_(T),
      rank_(rank),
      world_(world) {
  check_shape(B, T, rank, world);
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

Cursor SequentialShards::start() const {
  return {0, usable_shard_from(0), B_ * T_ * rank_};
}

std::pair<TokenBatch, Cursor> SequentialShards::next(const Cursor& cursor) const {
  const std::vector<TokenShard>& shards = corpus_.shards(split_);
  const int64_t n = B_ * T_;
  if (!has_next(cursor) || cursor.shard < 0 || cursor.position < 0 ||
      cursor.shard >= static_cast<int64_t>(shards.size()))
    fail_cursor(cursor, corpus_);
  const TokenShard& shard = shards[size_t(cursor.shard)];
  const auto size = static_cast<int64_t>(shard.size());
  if (cursor.position > size - n - 1) fail_cursor(cursor, corpus_);

  TokenBatch batch = empty_batch(B_, T_);
  read_window(corpus_, shard, static_cast<uint64_t>(cursor.position), n, batch.tokens.data(),
              batch.targets.data());
  Cursor after = {cursor.batch + 1, cursor.shard, cursor.position + n * world_};
  if (after.position + n * world_ + 1 > size)
    after = {after.batch, usable_shard_from(cursor.shard + 1), n * rank_};
  return {std::move(batch), after};
}

}  // namespace fathom
