#include "fathom/data/numbers/example.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/random.h"
#include "fathom/base/text.h"
#include "fathom/data/numbers/rewrite.h"

namespace fathom {
namespace {

// An example is drawn anew as often as this, then the settings have none.
constexpr int kMostTries = 20000;

// Of so many expressions one is val's and one test's.
constexpr uint64_t kShares = 8;

// A sum that is smaller than this beside what was added is rounding, not a result.
constexpr double kRounding = 1e-9;
constexpr double kLeast = 1e-12, kMost = 1e30;

int64_t power_of_ten(int64_t exponent) {
  int64_t power = 1;
  for (int64_t i = 0; i < exponent; ++i) power *= 10;
  return power;
}

// Whose an expression is, however many zeros its numbers end with: 1.0 + 2 is 1 + 2.
const char* owner_of(std::vector<ExpressionToken> tokens) {
  for (ExpressionToken& token : tokens)
    while (token.number.decimals > 0 && token.number.units % 10 == 0)
      token.number.units /= 10, --token.number.decimals;
  const uint64_t share =
      RandomStream(name_hash(to_text(tokens)), "numbers/split").below(0, kShares);
  return share == 0 ? "val" : share == 1 ? "test" : "train";
}

bool is_sound(const NumberProgram& program) {
  const std::vector<double> results = results_of(program);
  double second = program.values.back().value();
  for (size_t k = 0; k < results.size(); ++k) {
    const double first = program.values[results.size() - 1 - k].value(),
                 size = std::fabs(results[k]);
    if (!(size <= kMost) || (size > 0 && size < kLeast)) return false;
    const Operation operation = program.operations[k];
    const bool adds = operation == Operation::kAdd || operation == Operation::kSubtract;
    if (adds && size > 0 && size < kRounding * std::max(std::fabs(first), std::fabs(second)))
      return false;
    second = results[k];
  }
  return true;
}

// With room for so many operations: identities that come first drop zeros that are not used.
void pad_program(NumberProgram& program, size_t depth) {
  const size_t more = depth - std::min(depth, program.depth());
  program.values.insert(program.values.end(), more, Decimal{});
  program.operations.insert(program.operations.begin(), more, Operation::kIdentity);
}

}  // namespace

// The numbers of an example, in the order in which they are asked for.
class NumberExamples::Numbers {
 public:
  Numbers(uint64_t seed, const std::string& split, uint64_t sequence, uint64_t number)
      : seed_(seed),
        sequence_(sequence),
        stream_((name_hash("numbers/" + split) & ~kAddress) | (number & kFields) << kFieldBits) {}

  double uniform() { return next().uniform(sequence_); }
  uint64_t below(uint64_t n) { return next().below(sequence_, n); }

 private:
  // Of a stream's name: 24 bits each for the example within its sequence and for the field.
  static constexpr int kFieldBits = 24;
  static constexpr uint64_t kFields = (uint64_t{1} << kFieldBits) - 1;
  static constexpr uint64_t kAddress = (uint64_t{1} << 2 * kFieldBits) - 1;

  RandomStream next() { return {seed_, stream_ | (field_++ & kFields)}; }

  uint64_t seed_, sequence_, stream_, field_ = 0;
};

std::string result_text(double value, int64_t digits) {
  constexpr int kLeastPlain = -5, kMostPlain = 14;  // powers of ten
  if (value == 0) return "0";
  const std::string scientific = fmt::format("{:.{}e}", std::fabs(value), digits - 1);
  const size_t e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  std::string shown = scientific.substr(0, 1);
  if (e > 2) shown += scientific.substr(2, e - 2);
  shown.erase(shown.find_last_not_of('0') + 1);
  if (exponent < kLeastPlain || exponent > kMostPlain) {
    if (shown.size() > 1) shown.insert(1, ".");
    shown += fmt::format("e{}", exponent);
  } else if (exponent < 0) {
    shown = "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + shown;
  } else {
    const auto whole = static_cast<size_t>(exponent) + 1;
    if (shown.size() < whole) shown.append(whole - shown.size(), '0');
    if (shown.size() > whole) shown.insert(whole, ".");
  }
  return (value < 0 ? "-" : "") + shown;
}

NumberExamples::NumberExamples(NumbersConfig config) : config_(std::move(config)) {
  check(config_);
  depth_ = static_cast<size_t>(depth_of(config_));
  most_ = config_.max_operations.value_or(depth_of(config_));
  fewest_ = config_.min_operations.value_or(std::min<int64_t>(1, most_));
  all_ = operations_of(config_);
  std::copy_if(all_.begin(), all_.end(), std::back_inserter(real_),
               [](Operation o) { return o != Operation::kIdentity; });
  low_ = config_.value_range[0];
  high_ = config_.value_range[1];
  if (!config_.max_digits) return;
  const auto bound = static_cast<double>(power_of_ten(*config_.max_digits));
  low_ = low_ < 0 ? -bound : 0;
  high_ = high_ > 0 ? bound : 0;
}

uint64_t NumberExamples::seed_of(const std::string& split) const {
  const std::vector<std::string>& splits = numbers_splits();
  if (std::find(splits.begin(), splits.end(), split) == splits.end())
    fail(fmt::format("numbers have no split {}, only {}", in_quotes(split), join(splits, ", ")));
  return static_cast<uint64_t>(split == "train" ? config_.train_seed : config_.val_seed);
}

bool NumberExamples::is_stream(const std::string& split, uint64_t sequence) const {
  if (config_.stream_share == 0) return false;
  return RandomStream(seed_of(split), "numbers/stream/" + split).uniform(sequence) <
         config_.stream_share;
}

// What rounding moves out of the range is drawn again; so is a 0 where neither its replacement nor
// that of the other sign lies within.
Decimal NumberExamples::draw_value(Numbers& numbers) const {
  for (int i = 0; i < kMostTries; ++i) {
    Decimal drawn;
    drawn.decimals =
        static_cast<int>(numbers.below(static_cast<uint64_t>(config_.max_decimals) + 1));
    const int64_t one = power_of_ten(drawn.decimals);
    const double value = low_ + numbers.uniform() * (high_ - low_);
    drawn.units = std::llround(value * static_cast<double>(one));
    if (config_.max_digits) {  // 9.96 to one decimal has a digit more
      const int64_t bound = power_of_ten(*config_.max_digits) * one - 1;
      drawn.units = std::clamp(drawn.units, -bound, bound);
    }
    if (drawn.units == 0) {
      drawn.units = drawn.decimals >= 2 ? one / 100 : one;
      if (!is_in_range(drawn)) drawn.units = -drawn.units;
    }
    if (is_in_range(drawn)) return drawn;
  }
  fail("no value was drawn that lies in value_range", "a wider --value_range");
}

NumberProgram NumberExamples::draw_program(Numbers& numbers) const {
  NumberProgram program;
  size_t real = depth_;
  if (config_.identity == IdentityPlace::kPad)
    real = static_cast<size_t>(fewest_) + numbers.below(static_cast<uint64_t>(most_ - fewest_ + 1));
  const auto& among = config_.identity == IdentityPlace::kAnywhere ? all_ : real_;
  for (size_t i = 0; i <= real; ++i) program.values.push_back(draw_value(numbers));
  for (size_t i = 0; i < real; ++i)
    program.operations.push_back(among[numbers.below(among.size())]);
  pad_program(program, depth_);
  return program;
}

// A rewritten program is one that these settings could have drawn, as far as its size goes.
bool NumberExamples::keeps_form(const NumberProgram& program) const {
  const int64_t real = real_operations(program);
  if (config_.identity == IdentityPlace::kNone) return real == static_cast<int64_t>(depth_);
  if (config_.identity == IdentityPlace::kPad) return real >= fewest_ && real <= most_;
  return true;
}

void NumberExamples::rewrite(NumberProgram& program, std::vector<ExpressionToken>& tokens,
                             Numbers& numbers) const {
  Rewritten other = rewritten(tokens, depth_, [&numbers] { return numbers.uniform(); });
  if (!other.program || !keeps_form(*other.program) || !is_sound(*other.program)) return;
  program = *std::move(other.program);
  tokens = std::move(other.tokens);
}

NumberExample NumberExamples::worded(NumberProgram program,
                                     const std::vector<ExpressionToken>& tokens,
                                     Numbers& numbers) const {
  NumberExample example;
  EnglishText english =
      in_english(tokens, config_.english_rate, [&numbers] { return numbers.uniform(); });
  example.text = std::move(english.text);
  example.last_operand_end = english.last_operand_end;
  example.wording = english.wording;
  example.value = value_of(program);
  if (config_.result_digits > 0) example.text += " = ";
  example.result_begin = example.text.size();
  if (config_.result_digits > 0) example.text += result_text(example.value, config_.result_digits);
  pad_program(program, static_cast<size_t>(std::max<int64_t>(config_.label_depth, 0)));
  example.used = used_values(program);
  example.program = std::move(program);
  return example;
}

NumberExample NumberExamples::at(const std::string& split, uint64_t sequence,
                                 uint64_t number) const {
  Numbers numbers(seed_of(split), split, sequence, number);
  for (int i = 0; i < kMostTries; ++i) {
    NumberProgram program = draw_program(numbers);
    if (!is_sound(program)) continue;
    std::vector<ExpressionToken> tokens = expression_of(program);
    const bool rewrites =
        config_.algebraic_noise > 0 && numbers.uniform() < config_.algebraic_noise;
    if (rewrites) rewrite(program, tokens, numbers);
    if (owner_of(tokens) == split) return worded(std::move(program), tokens, numbers);
  }
  fail(fmt::format("none of {} programs that were drawn is an example of the split {}",
                   with_commas(kMostTries), split),
       "a wider value_range, more max_decimal_places or a larger numbers_depth makes more of them");
}

NumberExample number_example(const NumbersConfig& config, const std::string& split,
                             uint64_t sequence, uint64_t number) {
  return NumberExamples(config).at(split, sequence, number);
}

}  // namespace fathom
