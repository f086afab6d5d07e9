// Of what text it is asked who answered.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fathom/study/asked/model_choice.h"

namespace fathom {

struct TraceJob {
  ModelChoice model;
  std::string dataset;  // empty: the one it was trained on
  std::string split = "val";
  std::optional<std::string> text;   // in place of the split's
  int64_t start_idx = -1;            // of the text in the split's first shard; -1: anywhere
  std::optional<int64_t> num_chars;  // tokens, unset: 300 or as many as the model sees
  std::optional<int64_t> sentences;  // ends with the n-th of . ! ?; 0 or less: nowhere
  int64_t seed = 1337;
  int64_t candidates = 3;
};

}  // namespace fathom
