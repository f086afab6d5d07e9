#include "fathom/study/asked/eval_job.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/io/json_text.h"
#include "fathom/model/spec/depth_plan.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/numbers_options.h"

namespace fathom {

void check_evaluations(const EvalJob& request, const ModelConfig& model) {
  for (const EvaluationSpec& spec : parse_evaluations(request.evaluations, model)) {
    if (spec.batches)
      misuse(fmt::format("the evaluation {} has batches of its own", spec.name),
             "all are compared on the same ones: --max_batches says how many");
    if (spec.split == "train" && request.split != "train")
      misuse(fmt::format("the evaluation {} is of the split train, the others of {}", spec.name,
                         request.split),
             "all are compared on the same batches: --split says of which split");
  }
}

const std::vector<std::string>& numbers_keys() {
  static const std::vector<std::string> keys = {
      "numbers_depth",  "value_range",    "max_decimal_places", "max_digits",
      "min_operations", "max_operations", "number_operations",  "english_conversion_rate",
      "shuffle_labels", "stream_share",   "stream_labels",      "evaluation_size"};
  return keys;
}

void take_numbers(const FieldList& list, const RunConfig& run, EvalJob& request) {
  if (!names_numbers(request.dataset.empty() ? run.data.dataset : request.dataset)) return;
  NumbersConfig numbers = run.data.numbers;
  FieldList all;
  add_fields(all, numbers, [] { return true; });
  for (const std::string& key : numbers_keys()) {
    if (!list.given(key)) continue;
    all.set(key, list.find(key)->value(), "--" + key);
    request.numbers_given.push_back(
        fmt::format("{} = {}", key, json_text(list.find(key)->value())));
  }
  if (request.numbers_given.empty()) return;
  RunConfig asked = run;
  asked.data.numbers = numbers;
  check(numbers_of(asked));
  request.numbers = std::move(numbers);
}

void require_answers(const RunConfig& run, const EvalJob& request) {
  if (!request.choices.empty() || !request.problems.empty()) return;
  RunConfig asked = run;
  if (!request.dataset.empty()) asked.data.dataset = request.dataset;
  if (request.numbers) asked.data.numbers = *request.numbers;
  if (names_numbers(asked.data.dataset)) check(numbers_of(asked));
  if (!predicts_next_token(make_depth_plan(run.model))) require_objective(asked);
}

}  // namespace fathom
