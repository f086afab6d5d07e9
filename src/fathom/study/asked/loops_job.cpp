#include "fathom/study/asked/loops_job.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "fathom/train/recipe/evaluations.h"

namespace fathom {

ModelConfig with_noise(const ModelConfig& model, std::optional<double> scale) {
  if (!scale) return model;
  EvaluationSpec spec;
  spec.name = "noise";
  spec.settings = {{"loop_noise_scale", fmt::format("{}", *scale)}, {"loop_noise_eval", "same"}};
  return with_settings(spec, model);
}

ModelConfig with_loop_rule(const ModelConfig& model, const std::string& rule, double threshold) {
  EvaluationSpec spec;
  spec.name = "sweep";
  // Whatever the run's own say: a text that grows has tokens and no whole sequence.
  spec.settings = {{"automatic_loop_exit", "true"},
                   {"loop_halt_rule", rule},
                   {"loop_halt_unit", "token"},
                   {"loop_halt_threshold", fmt::format("{}", threshold)}};
  return with_settings(spec, model);
}

std::string loop_rule_of(const ModelConfig& model) {
  ModelConfig config = model;
  FieldList list;
  add_fields(list, config);
  const Field* field = list.find("loop_halt_rule");
  const Value value = field == nullptr ? Value() : field->value();
  return value.is_string() && value != "none" ? value.get<std::string>() : "rel_latent";
}

}  // namespace fathom
