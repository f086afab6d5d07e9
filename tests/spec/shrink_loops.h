// Models that loop and look ahead, at a size that a test can afford: few groups, few iterations,
// few shifts. Keys are named as users name them.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "fathom/model/spec/model_config.h"

namespace fathom::testing {

inline Value key_value(ModelConfig config, const std::string& key) {
  FieldList list;
  add_fields(list, config);
  return list.find(key)->value();
}

inline bool has_loops(const ModelConfig& config) {
  return key_value(config, "loop_groups") != Value::array();
}

// The first state of its loops is noise; in evaluation too, another one for another seed.
inline bool has_loop_noise(const ModelConfig& config) {
  return has_loops(config) && key_value(config, "loop_noise_scale") != 0.0;
}
inline bool has_loop_noise_in_evaluation(const ModelConfig& config) {
  return has_loop_noise(config) && key_value(config, "loop_noise_eval") == "same";
}

// Lists of instances, of a model that had more layers: the first entries stay, numbered anew, and
// what shared still does.
inline void shrink_sharing(ModelConfig& config) {
  const auto L = static_cast<size_t>(config.backbone.n_layer);
  WiringConfig& w = config.wiring;
  for (ChoiceOrTree* sharing : {&w.share, &w.share_attn, &w.share_mlp, &w.share_norm}) {
    std::vector<IntTree>& list = sharing->list;
    if (list.size() <= L) continue;
    list.resize(L);
    std::vector<int64_t> known;
    for (IntTree& entry : list) {
      const auto at = std::find(known.begin(), known.end(), entry.number);
      const auto number = at - known.begin();
      if (at == known.end()) known.push_back(entry.number);
      entry.number = number;
    }
    if (known.size() == L) list.back().number = 0;
  }
}

// Numbers in tests' models stay near 1, and are seen coarsely: whatever is computed of a result
// turns with its logarithm, which else grows by every operation and carries rounding with it.
inline void shrink_numbers(ModelConfig& config) {
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, text] : {std::pair{"dag_embed_top", "0.05"},
                                  std::pair{"dag_value_limit", "0.5"}, std::pair{"dag_depth", "2"}})
    if (list.find(key) != nullptr && list.find(key)->value() != 0)
      list.set_text(key, text, "a test");
  // Behind which layer; the last one has no blocks behind it.
  if (list.find("dag_after") != nullptr && list.find("dag_after")->value() != 0)
    list.set_text("dag_after", std::to_string(config.backbone.n_layer - 1), "a test");
}

// Of a model of 2 or 3 layers that had more. What is kept of its groups is whether there are
// several of them and whether they are nested; how an adapter begins does not matter to tests that
// move all weights.
inline void shrink_loops(ModelConfig& config) {
  shrink_sharing(config);
  shrink_numbers(config);
  FieldList list;
  add_fields(list, config);
  const auto set = [&](const char* key, const char* text) { list.set_text(key, text, "a test"); };
  if (list.find("predict_ahead")->value() == true) set("max_shift", "3");
  const Value groups = list.find("loop_groups")->value();
  if (groups == Value::array()) return;
  const bool is_list = groups.is_array();
  const bool nested = is_list && groups.at(0).at(0).is_array();
  const char* const two = config.backbone.n_layer > 2 ? "[[0], [1, 2]]" : "[[0], [1]]";
  set("loop_groups", nested ? "[[[0], [1]]]" : is_list && groups.size() > 1 ? two : "[[1]]");
  set("max_loops", "3");
  set("loop_adapter_init", "normal");
  if (list.find("loop_sampling_strategy")->value() != "log_poisson") return;
  set("loop_sampling_rbar", "1");
  set("loop_sample_clamp", "3");
}

}  // namespace fathom::testing
