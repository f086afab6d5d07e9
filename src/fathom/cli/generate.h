// `fathom generate RUN`
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/cli/eval.h"
#include "fathom/model/plan/halting_config.h"

namespace fathom {

struct GenerateRequest {
  ModelChoice model;
  std::string start = "\n";
  int64_t num_samples = 1;
  int64_t max_new_tokens = 500;
  double temperature = 0.8;
  std::optional<int64_t> top_k = 200;
  int64_t seed = 1337;
  Exit exit = Exit::kFirstConfident;
  std::vector<std::string> notices;
};

std::optional<GenerateRequest> parse_generate(const Arguments& arguments);

}  // namespace fathom
