// Plans of what is typed of blocks.
#pragma once

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/model/spec/depth_plan.h"
#include "spec/looped_model.h"

namespace fathom::testing {

// A plan as a run has it.
inline DepthPlan wired_plan(const Settings& settings) {
  const ModelConfig config = model_with(settings);
  validate(config);
  DepthPlan plan = make_depth_plan(config);
  check_plan(plan);
  return plan;
}

inline std::string wiring_refusal(const Settings& settings) {
  const Error error = refusal_of([&] { wired_plan(settings); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_NE(error.hint(), "");
  return error.what();
}

inline std::vector<std::string> wired_names(const Settings& settings) {
  const ModelConfig config = model_with(settings);
  validate(config);
  std::vector<std::string> names;
  for (const ParameterSpec& spec : parameter_table(config, kLoopVocab)) names.push_back(spec.name);
  return names;
}

inline std::vector<LayerSpec> wired_layers(const Settings& settings) {
  std::vector<LayerSpec> layers;
  const DepthPlan plan = wired_plan(settings);
  each_layer(plan, [&](const LayerSpec& layer) { layers.push_back(layer); });
  return layers;
}

inline Settings and_also(Settings settings, const Settings& more) {
  settings.insert(settings.end(), more.begin(), more.end());
  return settings;
}

}  // namespace fathom::testing
