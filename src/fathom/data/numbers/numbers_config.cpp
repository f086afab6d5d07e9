// The settings of generated numbers: keys, checks, and what tells one set of examples from another.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/numbers/example.h"
#include "fathom/io/files.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

constexpr int64_t kMostDepth = 64;
// Of a value, before and behind the point: all of them are told by a double.
constexpr int64_t kMostValueDigits = 15;

// In the order of kWrittenOperations.
constexpr const char* kAllOperations = "add, subtract, multiply, divide, identity";

constexpr const char* kNeedsNumbers = "dataset = numbers";

void add_value_fields(FieldList& list, NumbersConfig& c, const std::function<bool()>& acts) {
  list.add("value_range", c.value_range, "least and largest value, for example [-100, 100]")
      .needs(kNeedsNumbers, acts);
  list.add("max_decimal_places", c.max_decimals,
           "digits behind a value's point, uniform from 0 to this")
      .at_least(0)
      .at_most(12)
      .needs(kNeedsNumbers, acts);
  list.add("max_digits", c.max_digits,
           "digits before a value's point at most, in place of value_range's size (its signs "
           "stay); None: value_range alone")
      .at_least(1)
      .at_most(12)
      .needs(kNeedsNumbers, acts);
}

void add_program_fields(FieldList& list, NumbersConfig& c, const std::function<bool()>& acts) {
  list.add("numbers_depth", c.depth,
           "operations of a program; None: as many as the model has, where it has programs, else 4")
      .at_least(1)
      .at_most(static_cast<double>(kMostDepth))
      .needs(kNeedsNumbers, acts);
  list.add("number_operations", c.operations,
           "which are drawn, for example \"add, multiply\"; empty: those of the model's programs, "
           "where it has any, else add, subtract, multiply, divide, identity")
      .needs(kNeedsNumbers, acts);
  list.add<IdentityPlace>("number_identity", c.identity,
                          "identities fill a program up (pad), are drawn like the others and drop "
                          "an operand from the text (anywhere), or there are none",
                          {{"pad", IdentityPlace::kPad},
                           {"anywhere", IdentityPlace::kAnywhere},
                           {"none", IdentityPlace::kNone}})
      .needs(kNeedsNumbers, acts);
  const auto pads = [&c] { return c.identity == IdentityPlace::kPad; };
  list.add("min_operations", c.min_operations, "least real operations of a program; None: 1")
      .at_least(0)
      .at_most(static_cast<double>(kMostDepth))
      .needs(kNeedsNumbers, acts)
      .needs("number_identity = pad", pads);
  list.add("max_operations", c.max_operations, "most real operations; None: numbers_depth")
      .at_least(0)
      .at_most(static_cast<double>(kMostDepth))
      .needs(kNeedsNumbers, acts)
      .needs("number_identity = pad", pads);
}

void add_text_fields(FieldList& list, NumbersConfig& c, const std::function<bool()>& acts) {
  list.add("english_conversion_rate", c.english_rate,
           "chance of each number and operator to be written in words")
      .at_least(0)
      .at_most(1)
      .needs(kNeedsNumbers, acts);
  list.add("permutation_probability", c.algebraic_noise,
           "chance that an expression is rewritten (commuted, regrouped, expanded, factored), its "
           "labels with it")
      .alias("algebraic_noise")
      .at_least(0)
      .at_most(1)
      .needs(kNeedsNumbers, acts);
  list.add("result_digits", c.result_digits,
           "significant digits of the result behind \"=\", 0: there is none")
      .at_least(0)
      .at_most(15)
      .needs(kNeedsNumbers, acts);
  list.add("stream_share", c.stream_share,
           "share of the sequences that are examples line by line, without labels but by "
           "stream_labels; the others are one example each")
      .at_least(0)
      .at_most(1)
      .needs(kNeedsNumbers, acts);
  list.add("stream_labels", c.stream_labels,
           "each line of a stream has its program for a label, behind its last operand")
      .needs(kNeedsNumbers, acts)
      .needs("stream_share above 0", [&c] { return c.stream_share > 0; });
  list.add("shuffle_labels", c.shuffle_labels,
           "a control: each example has another one's labels, so that only their rates are learned")
      .needs(kNeedsNumbers, acts)
      .needs("stream_share below 1 or stream_labels", [&c] { return has_labels(c); });
  list.add("max_cut_share", c.max_cut_share,
           "largest share of the examples that block_size may cut, of which none is learned from; "
           "0: a block that cuts any is refused")
      .at_least(0)
      .at_most(1)
      .needs(kNeedsNumbers, acts)
      .needs("stream_share below 1", [&c] { return c.stream_share < 1; });
  list.add<std::string>("numbers_tokenizer", c.tokenizer,
                        "of the generated text; gpt2: once `fathom prepare` has got it",
                        {{"char", "char"}, {"byte", "byte"}, {"gpt2", "gpt2"}})
      .needs(kNeedsNumbers, acts);
}

void add_draw_fields(FieldList& list, NumbersConfig& c, const std::function<bool()>& acts) {
  constexpr double kMostSeeds = 9007199254740992;  // what JSON and Python carry exactly
  list.add("train_seed", c.train_seed, "of the examples to learn from, whatever seed is")
      .at_least(0)
      .at_most(kMostSeeds)
      .needs(kNeedsNumbers, acts);
  list.add("val_seed", c.val_seed, "of those to evaluate on, another one")
      .at_least(0)
      .at_most(kMostSeeds)
      .needs(kNeedsNumbers, acts);
  list.add("evaluation_size", c.evaluation_size, "sequences of a split that `eval` looks at")
      .at_least(1)
      .at_most(1 << 30)
      .needs(kNeedsNumbers, acts);
  list.add("train_examples_per_batch", c.train_examples_per_batch,
           "distinct examples of an optimiser step, in passes of batch_size, the last one short; "
           "replaces gradient_accumulation_steps. Evaluations keep their size")
      .at_least(1)
      .at_most(1 << 20)
      .needs(kNeedsNumbers, acts);
}

// Whether a number other than 0 that has so many decimals, or fewer, lies within.
bool has_value(double low, double high, int64_t decimals) {
  const double one = std::pow(10.0, static_cast<double>(decimals));
  const int64_t near_low = std::llround(low * one), near_high = std::llround(high * one);
  for (const int64_t units : {int64_t{1}, int64_t{-1}, near_low, near_low + 1, near_high}) {
    const double value = Decimal{units, static_cast<int>(decimals)}.value();
    if (units != 0 && value >= low && value <= high) return true;
  }
  return false;
}

void check_values(const NumbersConfig& c) {
  const std::vector<double>& range = c.value_range;
  if (range.size() != 2 || !std::isfinite(range[0]) || !std::isfinite(range[1]) ||
      range[0] >= range[1])
    misuse(fmt::format("value_range = [{}] is not a lower bound and a higher one",
                       fmt::join(range, ", ")),
           "for example --value_range=[-10,10]");
  const double digits = std::ceil(std::log10(std::max(largest_value(c), 1.0)));
  if (digits + static_cast<double>(c.max_decimals) > static_cast<double>(kMostValueDigits))
    misuse(fmt::format("{} with max_decimal_places = {} makes numbers of more than {} digits",
                       values_text(c), c.max_decimals, kMostValueDigits),
           "a smaller max_decimal_places, or smaller values");
  if (!c.max_digits && !has_value(range[0], range[1], c.max_decimals))
    misuse(
        fmt::format("no number but 0 with max_decimal_places = {} digits behind its point lies in "
                    "value_range = [{}]",
                    c.max_decimals, fmt::join(range, ", ")),
        "a wider --value_range, or more --max_decimal_places");
}

void check_operations(const NumbersConfig& c) {
  const std::vector<Operation> named = operations_of(c);
  const bool has_real = std::any_of(named.begin(), named.end(),
                                    [](Operation o) { return o != Operation::kIdentity; });
  if (!has_real)
    misuse(fmt::format("number_operations = {} computes nothing", in_quotes(c.operations)),
           "name one of add, subtract, multiply and divide");
  const bool has_identity =
      std::find(named.begin(), named.end(), Operation::kIdentity) != named.end();
  if (c.identity == IdentityPlace::kAnywhere && !has_identity)
    misuse(fmt::format("number_identity = anywhere draws identities like the others, and "
                       "number_operations = {} has none",
                       in_quotes(c.operations)),
           "add identity to --number_operations, or --number_identity=none");
  if (c.identity != IdentityPlace::kPad) return;
  const int64_t depth = depth_of(c), fewest = c.min_operations.value_or(1),
                most = c.max_operations.value_or(depth);
  if (most > depth)
    misuse(fmt::format("max_operations = {} is above numbers_depth = {}", most, depth),
           "a smaller --max_operations, or a larger --numbers_depth");
  if (fewest > most)
    misuse(fmt::format("min_operations = {} is above {} = {}", fewest,
                       c.max_operations ? "max_operations" : "numbers_depth", most),
           "a smaller min_operations");
}

}  // namespace

void add_fields(FieldList& list, NumbersConfig& config, const std::function<bool()>& acts) {
  list.section("numbers");
  add_program_fields(list, config, acts);
  add_value_fields(list, config, acts);
  add_text_fields(list, config, acts);
  add_draw_fields(list, config, acts);
}

void check(const NumbersConfig& config) {
  check_values(config);
  check_operations(config);
  if (config.train_seed == config.val_seed)
    misuse(fmt::format("train_seed = {} and val_seed = {} are the same", config.train_seed,
                       config.val_seed),
           "what is measured must be drawn by itself: give another --val_seed");
}

std::vector<Operation> operations_of(const NumbersConfig& config) {
  if (config.operations.empty()) return {kWrittenOperations.begin(), kWrittenOperations.end()};
  const std::vector<Operation> named = operations_named_for_texts(config.operations);
  for (const Operation operation : named)
    if (!is_written(operation))
      misuse(fmt::format("number_operations = {} has {}, which no text writes down",
                         in_quotes(config.operations), to_text(operation)),
             fmt::format("name some of {}", kAllOperations));
  return named;
}

bool has_identities(const NumbersConfig& c) {
  const int64_t depth = depth_of(c);
  if (c.label_depth > depth) return true;
  const std::vector<Operation> named = operations_of(c);
  switch (c.identity) {
    case IdentityPlace::kPad:
      return c.min_operations.value_or(1) < depth;
    case IdentityPlace::kAnywhere:
      return std::find(named.begin(), named.end(), Operation::kIdentity) != named.end();
    case IdentityPlace::kNone:
      break;
  }
  return false;
}

double largest_value(const NumbersConfig& c) {
  if (c.max_digits) return std::pow(10.0, static_cast<double>(*c.max_digits));
  return std::max(std::fabs(c.value_range[0]), std::fabs(c.value_range[1]));
}

std::string values_text(const NumbersConfig& c) {
  if (c.max_digits) return fmt::format("max_digits = {}", *c.max_digits);
  return fmt::format("value_range = [{}]", fmt::join(c.value_range, ", "));
}

int64_t depth_of(const NumbersConfig& config) {
  constexpr int64_t kDepth = 4;
  return config.depth.value_or(kDepth);
}

bool has_labels(const NumbersConfig& config) {
  return config.stream_share < 1 || config.stream_labels;
}

const std::vector<std::string>& numbers_splits() {
  static const std::vector<std::string> names = {"test", "train", "val"};
  return names;
}

bool names_numbers(const std::string& dataset) {
  for (size_t begin = 0; begin <= dataset.size();) {
    const size_t end = std::min(dataset.find(',', begin), dataset.size());
    if (trim(std::string_view(dataset).substr(begin, end - begin)) == kNumbers) return true;
    begin = end + 1;
  }
  return false;
}

std::string fingerprint_of(const NumbersConfig& c) {
  constexpr int kForm = 2;  // of the generator: another one draws other examples
  nlohmann::json said = {kForm,
                         depth_of(c),
                         std::max(c.label_depth, depth_of(c)),
                         c.value_range,
                         c.max_decimals,
                         c.max_digits.value_or(0),
                         c.operations.empty() ? kAllOperations : c.operations,
                         static_cast<int>(c.identity),
                         c.min_operations.value_or(-1),
                         c.max_operations.value_or(-1),
                         c.english_rate,
                         c.algebraic_noise,
                         c.result_digits,
                         c.stream_share,
                         c.tokenizer,
                         c.train_seed,
                         c.val_seed};
  if (c.shuffle_labels) said.push_back("shuffle_labels");
  if (c.stream_labels && c.stream_share > 0) said.push_back("stream_labels");
  return xxh3_hex(as_bytes(json_text(said)));
}

}  // namespace fathom
