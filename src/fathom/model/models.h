// The engine's half of an experiment: what its model computes that the depth walk alone does not.
// The other half, which is data, is model/spec/architecture.h.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "fathom/model/model.h"
#include "fathom/model/spec/architecture.h"
#include "fathom/model/supervision.h"
#include "fathom/model/walk/block.h"

namespace fathom {

// What a model is built from.
struct ModelParts {
  ModelConfig config;
  int64_t vocab_size;
  DepthPlan plan;
  Policy policy;
  SupervisionTable supervision;
  ParameterSet parameters;
  RowFunctions functions;  // to be filled in by the experiment: what its wirings call
};

using ModelFactory = std::function<std::unique_ptr<Model>(ModelParts parts)>;

class Models {
 public:
  // `architecture` is the name of the Architecture that the experiment's presets have.
  void add(const std::string& architecture, ModelFactory factory);
  // Throws Error if there is none.
  const ModelFactory& factory(const std::string& architecture) const;

 private:
  std::map<std::string, ModelFactory> factories_;
};

// All experiments of this build that have a model.cpp.
const Models& models();

}  // namespace fathom
