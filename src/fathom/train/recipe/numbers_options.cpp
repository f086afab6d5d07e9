#include "fathom/train/recipe/numbers_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/data/make_data_set.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/train/recipe/data_options.h"

namespace fathom {
namespace {

// Operations of the model's programs; unset: it has none.
std::optional<int64_t> program_depth(const ModelConfig& model) {
  if (model.architecture == nullptr || !model.architecture->program_depth) return std::nullopt;
  const std::optional<int64_t> depth = model.architecture->program_depth(model);
  return depth.value_or(0) > 0 ? depth : std::nullopt;
}

// Some sequences have programs that this model would learn.
bool has_labels(const NumbersConfig& numbers, const ModelConfig& model) {
  const auto& architecture = model.architecture;
  const bool lines =
      architecture == nullptr || !architecture->learns || architecture->learns(model).lines;
  return lines ? has_labels(numbers) : numbers.stream_share < 1;
}

// Labels name what texts write down: who learns operations from them has no others.
void require_written_operations(const RunConfig& config) {
  const auto& architecture = config.model.architecture;
  if (architecture == nullptr || !architecture->program_operations || !architecture->learns) return;
  const Learned learned = architecture->learns(config.model);
  if (!learned.operations || !has_program_labels(config)) return;
  const std::string of_model = architecture->program_operations(config.model);
  const std::string& key = architecture->program_operations_key;
  for (const Operation o : operations_named(of_model))
    if (!is_written(o))
      misuse(
          fmt::format("the model's {} = {} has {}, which no text writes down: labels would teach "
                      "it never to be chosen",
                      key, in_quotes(of_model), to_text(o)),
          fmt::format("leave it out of {}{}", key,
                      learned.next_token
                          ? ", or --stream_share=1 --stream_labels=False, for streams have "
                            "no labels then"
                          : ""));
}

// Of what is drawn and of what fills programs up.
void check_operations(const NumbersConfig& numbers, bool given, const std::string& of_model,
                      const std::string& key) {
  const std::vector<Operation> known = operations_named(of_model);
  const auto has = [&](Operation o) {
    return std::find(known.begin(), known.end(), o) != known.end();
  };
  for (const Operation o : operations_of(numbers))
    if (given && o != Operation::kIdentity && !has(o))
      misuse(fmt::format("number_operations = {} has {}, and the model's {} = {} has not",
                         in_quotes(numbers.operations), to_text(o), key, in_quotes(of_model)),
             "leave it out of number_operations, or train a model that has it");
  if (has_identities(numbers) && !has(Operation::kIdentity))
    misuse(fmt::format("the model's {} = {} has no identity, by which number_identity = {} and "
                       "numbers_depth = {} fill programs up",
                       key, in_quotes(of_model),
                       numbers.identity == IdentityPlace::kPad    ? "pad"
                       : numbers.identity == IdentityPlace::kNone ? "none"
                                                                  : "anywhere",
                       depth_of(numbers)),
           fmt::format("add it to {}, or --number_identity=none with programs as deep as the "
                       "model's",
                       key));
}

// Those of a model's that a text can have; where they would compute nothing, "", which is all.
std::string written_of(const std::string& of_model) {
  const std::vector<Operation> all = operations_named(of_model);
  if (std::all_of(all.begin(), all.end(), is_written)) return of_model;
  std::vector<std::string> names;
  bool computes = false;
  for (const Operation o : all) {
    if (!is_written(o)) continue;
    names.emplace_back(to_text(o));
    computes = computes || o != Operation::kIdentity;
  }
  return computes ? join(names, ", ") : "";
}

void settle_operations(const RunConfig& config, NumbersConfig& numbers) {
  const auto& architecture = config.model.architecture;
  if (architecture == nullptr || !architecture->program_operations) return;
  const std::string of_model = architecture->program_operations(config.model);
  if (of_model.empty()) return;
  const bool given = !numbers.operations.empty();
  if (!given) numbers.operations = written_of(of_model);
  const bool learns = architecture->learns && architecture->learns(config.model).operations;
  if (learns && has_program_labels(config))
    check_operations(numbers, given, of_model, architecture->program_operations_key);
}

std::string no_labels(const DataConfig& config) {
  if (names_numbers(config.dataset))
    return config.numbers.stream_labels
               ? "stream_share = 1 makes lines with labels, and none of a sequence as a whole"
               : "stream_share = 1 makes sequences without labels";
  return fmt::format("dataset = {} has no programs for labels", in_quotes(config.dataset));
}

std::string as_text(const Field& field) {
  const Value value = field.value();
  return value.is_string() ? value.get<std::string>() : to_literal(value);
}

// Settings of labels that the model learns from, where the data have none; what the model alone
// says is without_effect()'s (config/fields.h).
void tell_idle_keys(const FieldList& list, const RunConfig& config,
                    std::vector<std::string>& notices) {
  const auto& architecture = config.model.architecture;
  const bool may_learn = architecture != nullptr && architecture->program_operations &&
                         !architecture->program_operations(config.model).empty();
  if (!may_learn || has_program_labels(config)) return;
  for (const std::string& key : architecture->label_keys) {
    const Field& field = *list.find(key);
    if (field.is_typed() || list.changes(key))
      notices.push_back(
          fmt::format("{} = {} has no effect: {}", key, as_text(field), no_labels(config.data)));
  }
}

// Of a model with programs: streams without labels have programs of any depth.
void check_labels(const NumbersConfig& numbers, int64_t deepest, const ModelConfig& model) {
  const bool is_stream = !has_labels(numbers), says_text = make_depth_plan(model).answers.empty();
  if (is_stream && !says_text)
    misuse(
        "stream_share = 1 makes streams alone, which have no labels, and the model learns nothing "
        "else",
        "--stream_labels=True, or a smaller --stream_share");
  if (is_stream || !numbers.depth || *numbers.depth <= deepest) return;
  misuse(fmt::format("numbers_depth = {} is above {} = {}: the model has no room for such programs",
                     *numbers.depth, model.architecture->program_depth_key, deepest),
         says_text
             ? "a smaller --numbers_depth, or --stream_share=1 --stream_labels=False: a stream "
               "without labels has programs of any depth"
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

// What a run has had goes on: who asks for its model or its numbers now is told.
bool asks_for_values(const FieldList& list, const ModelConfig& model) {
  FieldList own;
  OwnSettings settings = model.own;
  if (model.architecture->add_fields) model.architecture->add_fields(own, settings);
  std::vector<std::string> names = {"value_range", "max_digits", "dataset", "stream_share",
                                    "stream_labels"};
  for (const Field& field : own.all()) names.push_back(field.name());
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& name) { return list.changes(name); });
}

// Of numbers that are labels: what a text alone has may be of any size.
void check_values(const FieldList& list, const RunConfig& config, const NumbersConfig& settled) {
  const auto& architecture = config.model.architecture;
  if (architecture == nullptr || !architecture->check_values || !architecture->learns) return;
  if (!asks_for_values(list, config.model)) return;
  if (has_program_labels(config) && architecture->learns(config.model).programs)
    architecture->check_values(config.model, largest_value(settled), values_text(settled));
}

// Of a model whose programs were switched off, beside one that has them.
void tell_of_depth(const NumbersConfig& settled, const RunConfig& config,
                   std::vector<std::string>& notices) {
  const auto& architecture = config.model.architecture;
  if (architecture == nullptr || !architecture->program_depth || config.data.numbers.depth ||
      program_depth(config.model))
    return;
  notices.push_back(
      fmt::format("numbers_depth = {}: with {} = 0 there are no programs whose depth it would be; "
                  "--numbers_depth gives that of the model it is compared with",
                  depth_of(settled), architecture->program_depth_key));
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
  settle_operations(config, numbers);
  return numbers;
}

bool has_program_labels(const RunConfig& config) {
  return names_numbers(config.data.dataset) && has_labels(config.data.numbers, config.model);
}

void require_objective(const RunConfig& config) {
  const auto& architecture = config.model.architecture;
  if (architecture == nullptr || !architecture->learns) return;
  const Learned learned = architecture->learns(config.model);
  if (learned.next_token) return;
  const auto refuse = [&](const std::string& why, const char* hint) {
    misuse(fmt::format("{}, and {}: nothing is left for a loss", learned.no_next_token, why), hint);
  };
  if (!learned.programs) refuse(learned.no_programs, "change one of these settings");
  if (has_program_labels(config)) return;
  refuse(no_labels(config.data),
         names_numbers(config.data.dataset)
             ? "--stream_share=0 makes each of them an example with its program, "
               "--stream_labels=True each of their lines one"
             : "--dataset=numbers has them");
}

void settle_numbers(const FieldList& list, RunConfig& config, std::vector<std::string>& notices,
                    std::vector<std::string>& told) {
  tell_idle_keys(list, config, notices);
  if (!names_numbers(config.data.dataset)) return;
  require_written_operations(config);
  const NumbersConfig settled = numbers_of(config);
  check(settled);
  check_values(list, config, settled);
  if (list.changes("number_operations")) tell_of_identity(settled, notices);
  tell_of_depth(settled, config, notices);
  config.data.numbers.depth = settled.depth;  // operations stay open: labels come and go by stage
  settle_examples(list, config, notices, told);
}

void require_programs(const Corpus& corpus, const RunConfig& config) {
  constexpr int64_t kLooked = 1000;
  const auto& architecture = config.model.architecture;
  if (!corpus.is_generated() || architecture == nullptr || !architecture->learns) return;
  if (architecture->learns(config.model).next_token) return;
  if (cut_share(corpus, data_options(config, "train", /*evaluation=*/false), kLooked) < 1) return;
  misuse(fmt::format("block_size = {} cuts every one of {}'s first {} examples, and of a part no "
                     "program is learned: nothing is left for a loss",
                     config.model.backbone.block_size, corpus.name(), with_commas(kLooked)),
         "a larger block_size, or shorter texts: --english_conversion_rate=0, a smaller "
         "numbers_depth or max_decimal_places");
}

Corpus open_corpus(const std::string& name, const RunConfig& config) {
  return name == kNumbers ? Corpus::generated(numbers_of(config)) : Corpus::open(name);
}

}  // namespace fathom
