// Small models with a DAG, for tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "experiments/dag/architecture.h"
#include "fathom/model/spec/model_config.h"

namespace fathom::testing {

using DagKeys = std::vector<std::pair<std::string, std::string>>;

inline ModelConfig with_dag_keys(ModelConfig config, const DagKeys& keys) {
  FieldList list;
  add_fields(list, config);
  for (const auto& [key, text] : keys) list.set_text(key, text, "a test");
  return config;
}

// 2 blocks, 8 wide, programs of 3 operations.
inline ModelConfig dag_config(const DagKeys& keys = {}, bool predictor = false) {
  ModelConfig config;
  config.architecture = dag::architecture(predictor);
  BackboneConfig& b = config.backbone;
  b.n_layer = b.n_head = 2;
  b.n_embd = 8;
  b.block_size = 6;
  DagKeys all = {{"dag_depth", "3"}};
  all.insert(all.end(), keys.begin(), keys.end());
  return with_dag_keys(config, all);
}

}  // namespace fathom::testing
