#include "fathom/data/shifted.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "fathom/base/error.h"
#include "fathom/data/numbers/numbers_data.h"

namespace fathom {
namespace {

// Columns that say something of a token's target, not of the token. Of what lies behind the window
// they say what they say of its last target.
bool is_of_target(const std::string& name) {
  return name == "weight" || name == "answer" || name == kResult;
}

// A row's values become those of the row with its shift token in front.
template <class Number>
std::vector<Number> with_token(const std::string& name, const std::vector<Number>& row,
                               int64_t shift) {
  std::vector<Number> out;
  const auto T = static_cast<int64_t>(row.size());
  if (shift > 0) {
    const bool is_first = name == "segment";
    const bool is_one = name == "valid" || name == "weight";
    out.push_back(is_first && T > 0 ? row.front() : static_cast<Number>(is_one));
  }
  const int64_t moved = is_of_target(name) ? std::max<int64_t>(shift - 1, 0) : 0;
  for (int64_t t = 0; t < T; ++t)
    out.push_back(row[static_cast<size_t>(std::min(t + moved, T - 1))]);
  if (name == "position" && shift > 0)
    for (size_t t = 1; t < out.size(); ++t) out[t] += 1;
  return out;
}

template <class Number>
std::vector<Number> row_of(const std::vector<Number>& values, int64_t b, int64_t width) {
  return {values.begin() + b * width, values.begin() + (b + 1) * width};
}

// A batch of one row.
TokenBatch shifted_row(const TokenBatch& windows, int64_t b, int64_t shift, int64_t text_vocab) {
  const int64_t T = windows.T;
  const WholeNumbers targets = row_of(windows.targets, b, T);
  WholeNumbers following = targets;  // those of shift 1, and what comes behind them
  if (const Column* ahead = windows.find("ahead")) {
    const WholeNumbers more = row_of(std::get<WholeNumbers>(ahead->values), b, ahead->per_sequence);
    following.insert(following.end(), more.begin(), more.end());
  }
  const int64_t first = std::max<int64_t>(shift - 1, 0);
  if (first + T > static_cast<int64_t>(following.size()))
    fail(fmt::format("shift {} needs {} tokens behind a window, and there are {}", shift, first,
                     static_cast<int64_t>(following.size()) - T));
  TokenBatch row = empty_batch(1, 0);
  if (shift > 0) {
    row.tokens.push_back(shift_id(text_vocab, shift));
    row.targets.push_back(-1);
  }
  row.tokens.insert(row.tokens.end(), windows.tokens.begin() + b * T,
                    windows.tokens.begin() + (b + 1) * T);
  row.targets.insert(row.targets.end(), following.begin() + first, following.begin() + first + T);
  row.T = static_cast<int64_t>(row.tokens.size());
  for (const Column& column : windows.columns) {
    if (column.name == "ahead") continue;
    Column own = {column.name, {}, column.per_sequence};
    std::visit(
        [&](const auto& values) {
          own.values = column.per_sequence > 0
                           ? row_of(values, b, column.per_sequence)
                           : with_token(column.name, row_of(values, b, T), shift);
        },
        column.values);
    row.columns.push_back(std::move(own));
  }
  return row;
}

}  // namespace

TokenBatch shifted_rows(const TokenBatch& windows, const std::vector<int64_t>& shifts,
                        int64_t text_vocab) {
  if (static_cast<int64_t>(shifts.size()) != windows.B)
    fail(fmt::format("{} shifts are not one for each of {} rows", shifts.size(), windows.B));
  TokenBatch all = empty_batch(0, 0);
  for (int64_t b = 0; b < windows.B; ++b) {
    TokenBatch row = shifted_row(windows, b, shifts[static_cast<size_t>(b)], text_vocab);
    if (b == 0)
      all = std::move(row);
    else
      append(all, row);
  }
  return all;
}

Shifted::Shifted(std::shared_ptr<const DataSet> windows, const ShiftOptions& options, uint64_t seed)
    : windows_(std::move(windows)),
      options_(options),
      probabilities_(shift_probabilities(options.odds)),
      stream_(seed, "data/shift") {
  const int64_t fixed = options_.fixed.value_or(0);
  if (fixed < 0 || fixed > options_.odds.max_shift)
    misuse(fmt::format("shift = {} is beyond max_shift = {}", fixed, options_.odds.max_shift),
           "take a shift of 1 to max_shift, or 0 for rows without a shift token");
}

Cursor Shifted::start() const {
  Cursor cursor;
  cursor.set_part("data", windows_->start());
  return cursor;
}

Drawn Shifted::next(const Cursor& cursor) const {
  if (options_.text_vocab < 1)
    fail("shift tokens come behind the text's vocabulary, and that is not known",
         "--vocab_size says how many ids the text has");
  Drawn drawn = windows_->next(cursor.part("data"));
  const int64_t row = cursor["row"];
  if (row < 0 || row > INT64_MAX - drawn.batch.B)
    fail(fmt::format("the data position (row {}) does not exist", row),
         "it belongs to other data, or the checkpoint is damaged");
  std::vector<int64_t> shifts;
  for (int64_t b = 0; b < drawn.batch.B; ++b)
    shifts.push_back(
        options_.fixed ? *options_.fixed
                       : shift_at(probabilities_, stream_.uniform(static_cast<uint64_t>(row + b))));
  Cursor after;
  after.set("row", row + drawn.batch.B);
  after.set_part("data", drawn.after);
  return {shifted_rows(drawn.batch, shifts, options_.text_vocab), std::move(after), drawn.samples};
}

Cursor Shifted::next_sample(const Cursor& cursor) const {
  Cursor next = cursor;
  next.set_part("data", windows_->next_sample(cursor.part("data")));
  return next;
}

void require_shifts(const Corpus& corpus, int64_t block_size, int64_t max_shift) {
  if (corpus.has_rows() || corpus.is_generated()) return;
  const auto needed = static_cast<uint64_t>(block_size - 1 + max_shift + 1);
  for (const std::string& split : corpus.splits()) {
    uint64_t longest = 0;
    for (const TokenShard& shard : corpus.shards(split)) longest = std::max(longest, shard.size());
    if (longest >= needed) continue;
    fail(fmt::format("the split {} of {} has {} tokens in its longest shard, block_size = {} with "
                     "max_shift = {} needs at least {}",
                     split, corpus.name(), longest, block_size, max_shift, needed),
         "a smaller --max_shift or --block_size, or a longer text");
  }
}

TargetFacts target_facts(const DataSet& data, int64_t draws) {
  std::map<int64_t, int64_t> counts;
  TargetFacts facts;
  Cursor cursor = data.start();
  for (int64_t i = 0; i < draws; ++i) {
    Drawn drawn = data.next(cursor);
    cursor = std::move(drawn.after);
    for (const int64_t target : drawn.batch.targets) {
      if (target < 0) continue;
      ++counts[target];
      ++facts.count;
    }
  }
  if (facts.count == 0) return facts;
  const auto n = static_cast<double>(facts.count);
  for (const auto& [target, count] : counts) {
    const double p = static_cast<double>(count) / n;
    facts.unigram_entropy -= p * std::log(p);
  }
  facts.unigram_entropy += (static_cast<double>(counts.size()) - 1) / (2 * n);
  return facts;
}

}  // namespace fathom
