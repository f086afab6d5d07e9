#include "fathom/train/recipe/numbers_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "fathom/base/error.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_plan.h"

namespace fathom {
namespace {

// Operations of the model's programs; unset: it has none.
std::optional<int64_t> program_depth(const ModelConfig& model) {
  if (model.architecture == nullptr || !model.architecture->program_depth) return std::nullopt;
  const std::optional<int64_t> depth = model.architecture->program_depth(model);
  return depth.value_or(0) > 0 ? depth : std::nullopt;
}

// Of a model with programs: streams have no labels, and programs of any depth.
void check_labels(const NumbersConfig& numbers, int64_t deepest, const ModelConfig& model) {
  const bool is_stream = numbers.stream_share == 1,
             says_text = make_depth_plan(model).answers.empty();
  if (is_stream && !says_text)
    misuse(
        "stream_share = 1 makes streams alone, which have no labels, and the model learns nothing "
        "else",
        "a smaller --stream_share");
  if (is_stream || !numbers.depth || *numbers.depth <= deepest) return;
  misuse(fmt::format("numbers_depth = {} is above {} = {}: the model has no room for such programs",
                     *numbers.depth, model.architecture->program_depth_key, deepest),
         says_text
             ? "a smaller --numbers_depth, or --stream_share=1: a stream has no labels, and its "
               "programs any depth"
             : "a smaller --numbers_depth, or None for the model's");
}

// An optimiser step has so many examples, a pass as many as it had.
void settle_examples(const FieldList& list, RunConfig& config, std::vector<std::string>& notices,
                     std::vector<std::string>& told) {
  DataConfig& d = config.data;
  const std::optional<int64_t> examples = d.numbers.train_examples_per_batch;
  if (!examples) return;
  const char* const kKey = "train_examples_per_batch";
  if (list.given("batch_size") && list.given("mini_batch_size"))
    misuse(fmt::format("{} = {} and batch_size = {} with mini_batch_size = {} both say how many an "
                       "optimiser step has",
                       kKey, *examples, d.batch_size, *d.mini_batch_size),
           fmt::format("leave out {}, or mini_batch_size", kKey));
  const int64_t pass = config.micro_batch_size(), evaluated = d.batch_size;
  told.emplace_back("gradient_accumulation_steps");
  if (d.gradient_accumulation_steps > 1)
    notices.push_back(
        fmt::format("gradient_accumulation_steps = {} has no effect: {} = {} takes "
                    "its place",
                    d.gradient_accumulation_steps, kKey, *examples));
  if (!config.training.validation_batch_size) config.training.validation_batch_size = evaluated;
  d.batch_size = *examples;
  d.mini_batch_size = std::min(pass, *examples);
  d.gradient_accumulation_steps = 1;
  d.numbers.train_examples_per_batch.reset();
}

// Where it is not drawn like the others.
void tell_of_identity(const NumbersConfig& numbers, std::vector<std::string>& notices) {
  const std::vector<Operation> named = operations_named(numbers.operations);
  if (numbers.identity == IdentityPlace::kAnywhere ||
      std::find(named.begin(), named.end(), Operation::kIdentity) == named.end())
    return;
  const bool pads = numbers.identity == IdentityPlace::kPad;
  notices.push_back(
      fmt::format("identity in number_operations has no effect: number_identity = {}",
                  pads ? "pad fills programs up with it, and draws the others" : "none has none"));
}

}  // namespace

void add_numbers_fields(FieldList& list, DataConfig& c) {
  add_fields(list, c.numbers, [&c] { return names_numbers(c.dataset); });
  list.refuse("base", "numbers are written in base ten", "leave it out");
  for (const char* name :
       {"enable_digit_loss", "enable_vsign_loss", "enable_o_loss", "enable_g_loss",
        "enable_exec_loss", "g_loss_weight", "exec_loss_weight"})
    list.refuse(name, "it belongs to an executor of digits and gates, which is not here",
                "leave it out");
  list.ignore("check_nans", "what is not finite is always found, nonfinite says what follows");
  list.ignore("note", "a run is told by its run_name", /*takes_value=*/true);
}

NumbersConfig numbers_of(const RunConfig& config) {
  NumbersConfig numbers = config.data.numbers;
  const std::optional<int64_t> deepest = program_depth(config.model);
  if (!deepest) {
    numbers.depth = depth_of(numbers);
    return numbers;
  }
  check_labels(numbers, *deepest, config.model);
  if (!numbers.depth) numbers.depth = deepest;
  numbers.label_depth = *deepest;
  return numbers;
}

void settle_numbers(const FieldList& list, RunConfig& config, std::vector<std::string>& notices,
                    std::vector<std::string>& told) {
  if (!names_numbers(config.data.dataset)) return;
  const NumbersConfig settled = numbers_of(config);
  check(settled);
  if (list.changes("number_operations")) tell_of_identity(settled, notices);
  config.data.numbers.depth = settled.depth;
  settle_examples(list, config, notices, told);
}

Corpus open_corpus(const std::string& name, const RunConfig& config) {
  return name == kNumbers ? Corpus::generated(numbers_of(config)) : Corpus::open(name);
}

}  // namespace fathom
