#include "fathom/data/prompt_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/data/continuation.h"
#include "fathom/data/permutation.h"

namespace fathom {

// Tokens [begin, end] of a sample: all but the last are inputs, all but the first are targets.
struct PromptRows::Part {
  std::shared_ptr<const Sample> sample;
  size_t begin = 0, end = 0;
  size_t learned_from = 0;           // the first token that is a target
  std::optional<int64_t> next = {};  // offset of the part after this one

  int64_t size() const { return static_cast<int64_t>(end - begin); }
  int64_t targets() const { return std::max<int64_t>(int64_t(end) + 1 - int64_t(learned_from), 0); }
};

PromptRows::PromptRows(Corpus corpus, std::string split, const RowOptions& options)
    : corpus_(std::move(corpus)),
      split_(std::move(split)),
      rows_(corpus_.rows(split_)),
      options_(options) {
  if (rows_ == nullptr)
    fail(fmt::format("the corpus {} is one text, not rows", corpus_.name()),
         "`fathom prepare FILE.jsonl` makes rows of prompts and answers");
  if (options.T < 1) misuse(fmt::format("a row of {} tokens is empty", options.T));
  if (options.overlap < 0 || options.overlap >= options.T)
    misuse(fmt::format("row_overlap = {} is not below block_size = {}", options.overlap, options.T),
           "a smaller row_overlap");
  if (options.ahead < 0 || options.ahead > options.T)
    misuse(fmt::format("a row of {} tokens cannot look {} ahead", options.T, options.ahead));
  end_token(*corpus_.tokenizer());
}

std::optional<int64_t> PromptRows::samples() const {
  return static_cast<int64_t>(rows_->size());
}

Cursor PromptRows::next_sample(const Cursor& cursor) const {
  if (is_between_samples(cursor)) return cursor;
  return {{"row", cursor["row"] + 1}};
}

void PromptRows::fail_cursor(int64_t row, int64_t offset) const {
  fail(fmt::format("the data position (row {}, offset {}) does not exist in the corpus {}", row,
                   offset, corpus_.name()),
       "it belongs to another corpus or other settings, or the corpus was prepared again");
}

int64_t PromptRows::stored_row(int64_t row) const {
  const auto n = static_cast<int64_t>(rows_->size());
  if (!options_.shuffle) return row % n;
  const Permutation order(static_cast<uint64_t>(n), options_.seed, "rows/" + split_,
                          static_cast<uint64_t>(row / n));
  return static_cast<int64_t>(order[static_cast<uint64_t>(row % n)]);
}

std::shared_ptr<const Sample> PromptRows::whole_sample(int64_t stored_row) const {
  {
    const std::lock_guard lock(mutex_);
    for (const Kept& kept : kept_)
      if (kept.row == stored_row) return kept.sample;
  }
  const Row row = rows_->row(static_cast<uint64_t>(stored_row));
  auto sample = std::make_shared<const Sample>(make_sample(*corpus_.tokenizer(), row));
  const std::lock_guard lock(mutex_);
  kept_[oldest_] = {stored_row, sample};
  oldest_ = (oldest_ + 1) % kept_.size();
  return sample;
}

PromptRows::Part PromptRows::part_of(int64_t stored_row, int64_t offset) const {
  const auto T = static_cast<size_t>(options_.T), overlap = static_cast<size_t>(options_.overlap);
  Part part;
  if (options_.long_rows == LongRows::kSentences) {
    const Row row = rows_->row(static_cast<uint64_t>(stored_row));
    const auto at = static_cast<size_t>(offset);
    if (at > 0 && (!row.is_text || at >= row.text.size())) fail_cursor(stored_row, offset);
    if (row.is_text) {
      const ContinuedText text = continued_text(title_prompt(row), row.text, at, T);
      part.sample = std::make_shared<const Sample>(
          make_sample(*corpus_.tokenizer(), text.prompt, text.truth));
      if (text.next) part.next = static_cast<int64_t>(*text.next);
    } else {
      part.sample = std::make_shared<const Sample>(make_sample(*corpus_.tokenizer(), row));
    }
  } else {
    part.sample = whole_sample(stored_row);
    part.begin = static_cast<size_t>(offset);
  }
  const size_t last = part.sample->tokens.size() - 1;
  if (options_.long_rows == LongRows::kContinue) {
    // What was learned before ends `overlap` tokens behind the beginning.
    if (part.begin > 0 && (part.begin % (T - overlap) != 0 || part.begin + overlap >= last))
      fail_cursor(stored_row, offset);
    if (part.begin + T < last) part.next = static_cast<int64_t>(part.begin + T - overlap);
  } else if (part.begin > 0) {
    fail_cursor(stored_row, offset);
  }
  part.end = std::min(part.begin + T, last);
  part.learned_from = part.begin + 1 + (part.begin > 0 ? overlap : 0);
  if (!options_.include_prompts)
    part.learned_from = std::max(part.learned_from, part.sample->truth_at);
  return part;
}

PromptRows::Part PromptRows::part_at(int64_t row, int64_t offset) const {
  // Room for the rows that one draw may pass over.
  if (row < 0 || offset < 0 || row > INT64_MAX / 4) fail_cursor(row, offset);
  return part_of(stored_row(row), offset);
}

// Behind what the batch has.
void PromptRows::add(TokenBatch& batch, const Part& part, int64_t segment) const {
  const std::vector<uint32_t>& tokens = part.sample->tokens;
  const auto from = tokens.begin() + static_cast<int64_t>(part.begin);
  const int64_t before = batch.T, size = part.size();
  batch.T += size;
  batch.tokens.insert(batch.tokens.end(), from, from + size);
  for (size_t i = part.begin + 1; i <= part.end; ++i)
    batch.targets.push_back(i >= part.learned_from ? static_cast<int64_t>(tokens[i]) : -1);
  for (Column& column : batch.columns)
    std::get<WholeNumbers>(column.values).resize(static_cast<size_t>(batch.T));
  if (options_.pack) {
    WholeNumbers& segments = batch.per_token("segment");
    std::fill(segments.begin() + before, segments.end(), segment);
    WholeNumbers& positions = batch.per_token("position");
    std::iota(positions.begin() + before, positions.end(), 0);
  }
  if (options_.mark_answers) {
    WholeNumbers& answers = batch.per_token("answer");
    for (size_t i = part.begin + 1; i <= part.end; ++i)
      answers[static_cast<size_t>(before) + i - part.begin - 1] = i >= part.sample->truth_at;
  }
}

void PromptRows::add_ahead(TokenBatch& batch, const Part& last) const {
  if (options_.ahead == 0) return;
  WholeNumbers values(static_cast<size_t>(options_.ahead), -1);
  const std::vector<uint32_t>& tokens = last.sample->tokens;
  for (size_t i = 0; i < values.size() && last.end + 1 + i < tokens.size(); ++i)
    values[i] = tokens[last.end + 1 + i];
  batch.columns.push_back({"ahead", std::move(values), options_.ahead});
}

Drawn PromptRows::next(const Cursor& cursor) const {
  int64_t row = cursor["row"], offset = cursor["offset"], samples = 0, segments = 0;
  const auto all = static_cast<int64_t>(rows_->size());
  TokenBatch batch = empty_batch(1, 0);
  Part last;
  for (int64_t passed = 0; passed <= all && batch.T < options_.T;) {
    const Part part = part_at(row, offset);
    const bool learns = part.targets() > 0;
    if (learns && batch.T + part.size() > options_.T) break;  // it comes first in the next row
    if (learns) add(batch, part, segments++);
    samples += offset == 0;
    if (learns) last = part;
    if (!part.next) ++row;
    offset = part.next.value_or(0);
    if (learns && !options_.pack) break;
    if (!learns && !part.next) ++passed;
  }
  if (batch.T == 0)
    fail(fmt::format("no row of the split {} of {} has an answer within {} tokens", split_,
                     corpus_.name(), options_.T),
         "a larger --block_size, or --include_prompts=True");
  add_ahead(batch, last);
  return {std::move(batch), {{"row", row}, {"offset", offset}}, samples};
}

PromptRows::Coverage PromptRows::coverage(int64_t most_rows) const {
  Coverage all;
  all.rows = std::min(most_rows, static_cast<int64_t>(rows_->size()));
  for (int64_t row = 0; row < all.rows; ++row) {
    const Sample whole = make_sample(*corpus_.tokenizer(), rows_->row(static_cast<uint64_t>(row)));
    const size_t first = options_.include_prompts ? 1 : whole.truth_at;
    all.tokens += static_cast<int64_t>(whole.tokens.size() - first);
    int64_t targets = 0;
    for (std::optional<int64_t> offset = 0; offset;) {
      const Part part = part_of(row, *offset);
      targets += part.targets();
      all.parts += part.targets() > 0;
      offset = part.next;
    }
    all.targets += targets;
    all.skipped += targets == 0;
  }
  return all;
}

}  // namespace fathom
