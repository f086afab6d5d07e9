// Examples of arithmetic, generated: each is a pure function of the settings and its address.
//
// A value is uniform in value_range, rounded to k decimals, k uniform in 0 .. max_decimals, and
// written with all of them; one that rounds to 0 becomes 0.01, or 1 where k < 2 (spec: the
// streaming data of the predictor), negative where the range has no other. What is not in the range
// then is drawn again, k with it.
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
  // Values have at most so many digits before the point, in place of value_range's bounds, of which
  // only the signs count then; unset: value_range alone.
  std::optional<int64_t> max_digits;
  std::string operations;  // empty: those of the model's programs, where it has any, else all
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
  // Streams have labels, too: of every program whose last operand they have.
  bool stream_labels = false;
  // A control: each example has the labels of the next one, of which its text says nothing.
  bool shuffle_labels = false;
  std::string tokenizer = "char";  // or byte, gpt2
  double max_cut_share = 0.5;      // of examples that are longer than a block; more are refused
  int64_t train_seed = 42, val_seed = 43;
  int64_t evaluation_size = 2048;  // sequences of a split that `eval` looks at
  // Distinct examples of an optimiser step, in passes of batch_size; unset: batch_size and
  // gradient_accumulation_steps decide.
  std::optional<int64_t> train_examples_per_batch;
  // No key: operations that labels have room for, at least `depth`; 0: depth. Programs are padded
  // to them, by identities that are executed first over zeros that are not used.
  int64_t label_depth = 0;
};

// Section "numbers". `acts`: the run's data are these numbers.
void add_fields(FieldList& list, NumbersConfig& config, const std::function<bool()>& acts);
// Throws Error(kUsage) for settings without a meaning, naming both keys.
void check(const NumbersConfig& config);
int64_t depth_of(const NumbersConfig& config);  // settled
// Some sequences have programs for labels.
bool has_labels(const NumbersConfig& config);
// Settled, in their order. Throws Error(kUsage) for one that no text writes down.
std::vector<Operation> operations_of(const NumbersConfig& config);
// Whether programs have identities in their labels, for which the model may have no name.
bool has_identities(const NumbersConfig& config);
// The largest magnitude that a value may have, or what it is below; and the setting that says so,
// "value_range = [-10, 10]" or "max_digits = 3".
double largest_value(const NumbersConfig& config);
std::string values_text(const NumbersConfig& config);

// The name under which the data set is asked for, and its splits.
inline constexpr const char* kNumbers = "numbers";
const std::vector<std::string>& numbers_splits();  // test, train, val
// One of `dataset`'s names, which may be several by commas, is that.
bool names_numbers(const std::string& dataset);
// 16 hexadecimal digits that change when the examples of any split do, or how they are laid out.
std::string fingerprint_of(const NumbersConfig& config);

struct NumberExample {
  NumberProgram program;
  std::vector<bool> used;  // of its values: those that the text has
  double value = 0;
  std::string text;             // with " = result" where there is one; without a line break
  size_t last_operand_end = 0;  // bytes of the text up to and with the last operand
  size_t result_begin = 0;      // of the result; the text's size: there is none
  Wording wording = Wording::kSymbols;
};

// With so many significant digits, without zeros behind the last of them: 3.142, -0.0002, 1200000;
// below 1e-5 and from 1e15 on as 1.2e15.
std::string result_text(double value, int64_t digits);

// The examples of some settings, which are looked at once. Immutable, so safe to share.
class NumberExamples {
 public:
  // Throws as check() does.
  explicit NumberExamples(NumbersConfig config);

  // Whose it is: of "train", "val" and "test" no two have the same expression, whatever the seeds,
  // also where its numbers end with other zeros: its hash says whose it is, six of eight are
  // train's. `sequence` and `number` are its address, nothing else is remembered. Values are
  // finite, at most 1e30 and at least 1e-12 or 0, no divisor is 0, and no sum is so near 0 that
  // rounding decides it: what is not so is drawn again under the next of the example's own numbers.
  // Throws Error for an unknown split, and where the split has no expression of these settings.
  NumberExample at(const std::string& split, uint64_t sequence, uint64_t number) const;
  // Whether the sequence is a stream of examples, or one: stream_share.
  bool is_stream(const std::string& split, uint64_t sequence) const;

  const NumbersConfig& config() const { return config_; }

 private:
  class Numbers;
  uint64_t seed_of(const std::string& split) const;
  bool is_in_range(const Decimal& value) const {
    return value.value() >= low_ && value.value() <= high_;
  }
  Decimal draw_value(Numbers& numbers) const;
  NumberProgram draw_program(Numbers& numbers) const;
  bool keeps_form(const NumberProgram& program) const;
  void rewrite(NumberProgram& program, std::vector<ExpressionToken>& tokens,
               Numbers& numbers) const;
  NumberExample worded(NumberProgram program, const std::vector<ExpressionToken>& tokens,
                       Numbers& numbers) const;

  NumbersConfig config_;
  size_t depth_;
  int64_t fewest_, most_;  // real operations, where identities only pad
  std::vector<Operation> all_, real_;
  double low_, high_;
};

// The same of one example.
NumberExample number_example(const NumbersConfig& config, const std::string& split,
                             uint64_t sequence, uint64_t number);

}  // namespace fathom
