// Generated arithmetic as a data set. A sequence is one example, with labels, or a stream of them.
//
// S values and D operations a program, T tokens a sequence.
#pragma once

#include <memory>
#include <string>

#include "fathom/data/data_set.h"
#include "fathom/data/numbers/example.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

// Columns besides tokens and targets. Of a sequence (B, k):
inline constexpr const char* kProgramSign = "program_sign";    // S: 1 or -1
inline constexpr const char* kProgramLog = "program_log";      // S: ln max(|v|, 1e-8)
inline constexpr const char* kProgramUsed = "program_used";    // S: 1 where the text has the value
inline constexpr const char* kProgramOp = "program_op";        // D: index into kOperations
inline constexpr const char* kProgramValue = "program_value";  // 1: the result
inline constexpr const char* kProgramReal = "program_real";    // 1: real operations
inline constexpr const char* kProgramWording = "program_wording";  // 1: index of Wording
// Of a token (B, T):
// 1 behind the last operand of a sequence that is one example: the whole program is known there.
inline constexpr const char* kSupervised = "supervised";
// 1 where the target is a character of a result, the line's end behind it included.
inline constexpr const char* kResult = "result";
// Sequences that are a stream have zeros in all of them but kResult.

// The vocabulary: a character each, of a line break and of printable ASCII. gpt2 throws Error where
// GPT-2's vocabulary is not there, with how to get it.
std::unique_ptr<Tokenizer> numbers_tokenizer(const std::string& kind);

// One sequence a draw; it has no end. An example that is longer than T is cut, its labels and what
// is supervised with it (no program is learned from a part), and counted: `cut_share`.
class NumbersData : public DataSet {
 public:
  NumbersData(NumbersConfig config, std::string split, int64_t T,
              std::shared_ptr<const Tokenizer> tokenizer);
  Drawn next(const Cursor& cursor) const override;
  // Of the first `sequences` of the split, those that T cuts.
  double cut_share(int64_t sequences) const;

 private:
  NumbersConfig config_;
  std::string split_;
  int64_t T_;
  std::shared_ptr<const Tokenizer> tokenizer_;
};

}  // namespace fathom
