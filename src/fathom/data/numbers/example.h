// Examples of arithmetic, generated: number i of a split is a pure function of the settings.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"
#include "fathom/data/numbers/english.h"
#include "fathom/data/numbers/program.h"

namespace fathom {

// Where identities stand in a program.
enum class IdentityPlace {
  kPad,       // only first in execution: they fill a program up whose text is shorter
  kAnywhere,  // all operations are drawn alike; what an identity drops is not in the text
  kNone,      // nowhere: every program has `depth` real operations
};

struct NumbersConfig {
  // Operations of a program; unset: the model's, where it has programs, else 4.
  std::optional<int64_t> depth;
  std::vector<double> value_range = {-10, 10};
  int64_t max_decimals = 5;
  // Digits before the point at most, in place of what value_range allows; unset: that alone.
  std::optional<int64_t> max_digits;
  std::string operations = "add, subtract, multiply, divide, identity";
  IdentityPlace identity = IdentityPlace::kPad;
  // Real operations of a program, with kPad; unset: 1 and `depth`.
  std::optional<int64_t> min_operations, max_operations;
  double english_rate = 0.3;
  // Chance that an expression is rewritten by one of commute, regroup, expand or factor, its labels
  // with it where it stays a program; else it is left as it was.
  double algebraic_noise = 0;
  // "expression = result": the result with so many significant digits; 0: none is written.
  int64_t result_digits = 4;
  // Share of the sequences that are a stream of examples, a line each, cut at the block's end; the
  // others are one example each, with its labels.
  double stream_share = 0;
  std::string tokenizer = "char";  // or byte, gpt2
  int64_t train_seed = 42, val_seed = 43;
  int64_t evaluation_size = 2048;  // sequences of a split that `eval` looks at
  // Distinct examples of an optimiser step, in passes of batch_size; unset: batch_size and
  // gradient_accumulation_steps decide.
  std::optional<int64_t> train_examples_per_batch;
};

// Section "numbers". `acts`: the run's data are these numbers.
void add_fields(FieldList& list, NumbersConfig& config, std::function<bool()> acts);
// Throws Error(kUsage) for settings without a meaning, naming both keys.
void check(const NumbersConfig& config);
int64_t depth_of(const NumbersConfig& config);  // settled

struct NumberExample {
  NumberProgram program;
  std::vector<bool> used;  // of its values: those that the text has
  double value = 0;
  std::string text;  // with " = result" where there is one; without a line break
  size_t last_operand_end = 0;  // bytes of the text up to and with the last operand
  size_t result_begin = 0;      // of the result; the text's size: there is none
  Wording wording = Wording::kSymbols;
};

// Whose it is: of "train", "val" and "test" no two have the same expression, whatever the seeds;
// `sequence` and `number` are its address, nothing else is remembered. Throws Error for an unknown
// split. Values are finite, at most 1e30 and at least 1e-12 or 0, and no divisor is 0: what is not
// so is drawn again under the next of the example's own numbers.
NumberExample number_example(const NumbersConfig& config, const std::string& split,
                             uint64_t sequence, uint64_t number);

}  // namespace fathom
