// Rows of prompts and answers, or of texts, as a data set of samples (sample.h).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "fathom/data/corpus.h"
#include "fathom/data/data_set.h"
#include "fathom/data/sample.h"

namespace fathom {

// What follows the first T targets of a longer sample.
enum class LongRows {
  kContinue,   // the rest in further parts, token by token: nothing is lost and nothing comes twice
  kSentences,  // texts as LMPlay continues them (continuation.h), answers are cut
  kTrim,       // nothing
};

struct RowOptions {
  int64_t T = 0;                // targets of a row, at most
  bool include_prompts = true;  // false: the prompt is context, and has no targets
  LongRows long_rows = LongRows::kContinue;
  int64_t overlap =
      0;              // with kContinue: tokens of the part before, seen again without targets; < T
  bool pack = false;  // several samples in one row
  bool shuffle = false;  // each epoch in another order, of the seed; else as they are stored
  uint64_t seed = 0;
  bool mark_answers = false;  // the column "answer": 1 where the target is of the truth
  // S above 0: the column "ahead", S a row, has what follows the last target in its sample, as far
  // as an objective looks beyond the next token; -1 behind the sample's end.
  int64_t ahead = 0;
};

// A draw is one row of at most T tokens, as short as what it holds:
//
//   one sample, or one part of a long one; or with `pack` as many as fit whole, one behind the
//   other, with the columns "segment" (0, 1, ...) and "position" (from 0 in each). None is split
//   unless it is longer than T by itself.
//
// What has no target in it is passed over: with include_prompts = false, a sample whose prompt
// fills the window. The data has no end: after the last row comes the first.
//
// With `shuffle` row i of epoch e is Permutation(rows, seed, "rows/<split>", e)[i].
//
// Cursor: "row", samples begun so far, or before the one that is not at its end; "offset", where
// its next part begins, in tokens, with kSentences in bytes of the text.
class PromptRows : public DataSet {
 public:
  // Throws Error where the split has no rows, or the tokenizer no end_token().
  PromptRows(Corpus corpus, std::string split, const RowOptions& options);

  // Throws Error when no row of the split has a target, besides.
  Drawn next(const Cursor& cursor) const override;
  std::optional<int64_t> samples() const override;
  bool is_between_samples(const Cursor& cursor) const override { return cursor["offset"] == 0; }
  Cursor next_sample(const Cursor& cursor) const override;

  // What of the text is learned in an epoch.
  struct Coverage {
    int64_t rows = 0, skipped = 0;    // looked at, and of them without a target
    int64_t tokens = 0, targets = 0;  // that could be learned, and that are
    int64_t parts = 0;                // that have a target: draws without `pack`
  };
  // Of the first rows as stored, at most so many.
  Coverage coverage(int64_t most_rows) const;

 private:
  struct Part;
  Part part_at(int64_t row, int64_t offset) const;
  Part part_of(int64_t stored_row, int64_t offset) const;
  std::shared_ptr<const Sample> whole_sample(int64_t stored_row) const;
  int64_t stored_row(int64_t row) const;
  void add(TokenBatch& batch, const Part& part, int64_t segment) const;
  void add_ahead(TokenBatch& batch, const Part& last) const;
  [[noreturn]] void fail_cursor(int64_t row, int64_t offset) const;

  Corpus corpus_;
  std::string split_;
  const RowFile* rows_;  // corpus_'s
  RowOptions options_;

  // The samples that were last asked for: a long one is asked for part by part.
  struct Kept {
    int64_t row = -1;
    std::shared_ptr<const Sample> sample;
  };
  mutable std::mutex mutex_;
  mutable std::array<Kept, 4> kept_;
  mutable size_t oldest_ = 0;
};

}  // namespace fathom
