#include "fathom/train/recipe/baseline.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/train/recipe/evaluations.h"

namespace fathom {
namespace {

// What the plain model has not.
bool is_beyond_plain(const Field& field) {
  static const std::set<std::string> sections = {"wiring", "looping", "ahead", "spectral"};
  static const std::set<std::string> keys = {"block_style", "rms_norm_eps", "residual_scaling",
                                             "effective_n_layer", "scale_embeddings"};
  if (field.name() == "use_baseline_model") return false;
  return sections.count(field.section()) > 0 || keys.count(field.name()) > 0;
}

// Initialisations that count loops; typed ones are meant.
bool is_beyond_plain(Init init) {
  return init == Init::kTakase || init == Init::kTakaseTied || init == Init::kHuginn;
}

bool typed(const FieldList& list, const std::string& name) {
  const Field* field = list.find(name);
  return field != nullptr && field->is_typed();
}

// Evaluations that the plain model has not; true if there were some.
bool leave_out_evaluations(const FieldList& list, TrainingConfig& training) {
  const std::string plain = without_keys(training.evaluations, [&](const std::string& key) {
    const Field* field = list.find(key);
    return field != nullptr && is_beyond_plain(*field);
  });
  if (plain == training.evaluations) return false;
  if (typed(list, "evaluations"))
    misuse(fmt::format("evaluations = {} with use_baseline_model = true: the plain model has no "
                       "loops and looks at the next token alone",
                       quoted_start(training.evaluations)),
           fmt::format("--evaluations='{}', or leave out --use_baseline_model", plain));
  training.evaluations = plain;
  return true;
}

}  // namespace

std::vector<std::string> settle_baseline(const FieldList& list, RunConfig& config,
                                         std::vector<std::string>& notices) {
  std::vector<std::string> left_out;
  if (!config.model.looping.use_baseline_model) return left_out;
  RunConfig plain;
  plain.model.architecture = config.model.architecture;  // which has fields of its own
  FieldList usual, ours;
  add_fields(usual, plain);
  add_fields(ours, config);
  for (const Field& field : ours.all()) {
    const Value value = usual.find(field.name())->value();
    if (!is_beyond_plain(field) || field.value() == value) continue;
    if (typed(list, field.name()))
      misuse(fmt::format("{} = {} with use_baseline_model = true: the plain model has none of it",
                         field.name(), to_literal(field.value())),
             fmt::format("leave out --{} or --use_baseline_model", field.name()));
    ours.find(field.name())->assign(value, "use_baseline_model");
    left_out.push_back(field.name());
  }
  if (is_beyond_plain(config.model.backbone.init) && !typed(list, "init")) {
    config.model.backbone.init = Init::kGpt2;
    left_out.emplace_back("init");
  }
  const bool evaluations = leave_out_evaluations(list, config.training);
  if (evaluations) left_out.emplace_back("evaluations of loops");
  if (!left_out.empty())
    notices.push_back(
        fmt::format("use_baseline_model = true trains the plain model: {} {} left out",
                    join(left_out, ", "), left_out.size() == 1 && !evaluations ? "is" : "are"));
  return left_out;
}

}  // namespace fathom
