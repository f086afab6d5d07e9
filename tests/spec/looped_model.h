// A small model whose settings are typed, and the parameters that it has.
#pragma once

#include <stdexcept>

#include "fathom/model/spec/parameter_table.h"
#include "recipe/config_testing.h"

namespace fathom::testing {

inline constexpr int64_t kLoopVocab = 11;

// Six layers of 20 channels.
inline ModelConfig model_with(const Settings& settings) {
  ModelConfig config;
  config.backbone.n_layer = 6;
  config.backbone.n_head = 2;
  config.backbone.n_embd = 20;
  config.backbone.block_size = 8;
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, text] : settings) list.set_text(key, text, "--" + key);
  return config;
}

inline const ParameterSpec& parameter(const std::vector<ParameterSpec>& table,
                                      const std::string& name) {
  for (const ParameterSpec& spec : table)
    if (spec.name == name) return spec;
  throw std::out_of_range(name);
}

}  // namespace fathom::testing
