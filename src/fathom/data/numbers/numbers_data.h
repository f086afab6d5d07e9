// Generated arithmetic as a data set. A sequence is one example, with labels, or a stream of them.
//
// S values and D operations a program, as many as labels have room for; T tokens a sequence at
// most.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fathom/data/data_set.h"
#include "fathom/data/numbers/example.h"
#include "fathom/data/tokenizer.h"

namespace fathom {

// Columns besides tokens and targets. Of a sequence (B, P * k), of each of its P programs k
// numbers:
inline constexpr const char* kProgramSign = "program_sign";    // S: 1 or -1
inline constexpr const char* kProgramLog = "program_log";      // S: ln max(|v|, 1e-8)
inline constexpr const char* kProgramUsed = "program_used";    // S: 1 where the text has the value
inline constexpr const char* kProgramOp = "program_op";        // D: index into kWrittenOperations
inline constexpr const char* kProgramValue = "program_value";  // 1: the result
inline constexpr const char* kProgramReal = "program_real";    // 1: real operations
inline constexpr const char* kProgramWording = "program_wording";  // 1: index of Wording
// Of a token (B, T):
// i + 1 behind the last operand of the sequence's program i, to the end of its line: the whole of
// it is known there.
inline constexpr const char* kSupervised = "supervised";
// 1 where the target is a character of a result, the line's end behind it included.
inline constexpr const char* kResult = "result";
// A sequence that is one example has program 0; a stream, whose own no single program is, has zeros
// there, and with stream_labels its lines' programs from 1 on, else zeros in all columns but
// kResult. P is one, and with stream_labels what a stream of T tokens has at most. Programs that a
// sequence has not are zeros.

// The vocabulary: a character each, of a line break and of printable ASCII. gpt2 throws Error where
// GPT-2's vocabulary is not there, with how to get it.
std::unique_ptr<Tokenizer> numbers_tokenizer(const std::string& kind);
int64_t numbers_vocab_size(const std::string& kind);  // of that, without reading anything

// How rows are made of it.
struct NumbersRows {
  int64_t T = 0;
  int64_t ahead = 0;  // S above 0: the column "ahead", S a row, what follows the last target, or -1
};

// One sequence a draw; it has no end. A sequence that is one example has its text and the line
// break behind it for tokens, as short as they are; the last one has no target. An example that is
// longer than T is cut, its labels with it (no program is learned from a part), and counted. A
// stream has T tokens: examples, each with its line break, from the beginning of one.
//
// Cursor: "sequence", those before.
class NumbersData : public DataSet {
 public:
  // Throws as NumberExamples does.
  NumbersData(const NumbersConfig& config, std::string split, const NumbersRows& rows,
              std::shared_ptr<const Tokenizer> tokenizer);
  Drawn next(const Cursor& cursor) const override;

  // Of the first `sequences` of the split those that are one example, and streams with labels.
  struct Lengths {
    double cut = 0;       // share of them that T cuts, or leaves no program
    int64_t longest = 0;  // tokens of an example, its line break with it
  };
  Lengths lengths(int64_t sequences) const;

 private:
  struct Text;
  Text encoded(const NumberExample& example) const;
  TokenBatch one_example(uint64_t sequence) const;
  TokenBatch stream(uint64_t sequence) const;
  int64_t most_programs() const;  // P
  bool has_program(uint64_t sequence) const;
  // Of one sequence; of an example without a program, none.
  void add_labels(TokenBatch& batch, const std::vector<NumberExample>& programs) const;
  // Whose labels the example of this address has: its own, or as a control another one's.
  NumberExample labelled(NumberExample example, uint64_t sequence, uint64_t number) const;
  void add_ahead(TokenBatch& batch, const WholeNumbers& following) const;

  NumberExamples examples_;
  std::string split_;
  NumbersRows rows_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<int64_t> bytes_by_id_;
};

}  // namespace fathom
