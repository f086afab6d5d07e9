// Keys that are given in vain, for needs_test.cpp, and those of generated numbers among them.
#pragma once

#include <utility>
#include <vector>

#include "recipe/config_testing.h"

namespace fathom::testing {

// A key, a value, what must be said of it, what it is given beside, and what makes it act.
struct InVain {
  const char *key, *text, *needs;
  Settings beside, acts;
};

inline std::vector<InVain> in_vain_of_numbers() {
  const Settings numbers = {{"dataset", "numbers"}};
  std::vector<InVain> all;
  for (const auto& [key, text] :
       std::vector<std::pair<const char*, const char*>>{{"numbers_depth", "2"},
                                                        {"number_operations", "add"},
                                                        {"number_identity", "none"},
                                                        {"min_operations", "2"},
                                                        {"max_operations", "2"},
                                                        {"value_range", "[0, 5]"},
                                                        {"max_decimal_places", "1"},
                                                        {"max_digits", "2"},
                                                        {"english_conversion_rate", "0.5"},
                                                        {"permutation_probability", "0.5"},
                                                        {"result_digits", "2"},
                                                        {"shuffle_labels", "True"},
                                                        {"stream_share", "0.5"},
                                                        {"max_cut_share", "0.4"},
                                                        {"numbers_tokenizer", "byte"},
                                                        {"train_seed", "3"},
                                                        {"val_seed", "4"},
                                                        {"evaluation_size", "9"},
                                                        {"train_examples_per_batch", "20"}})
    all.push_back({key, text, "dataset = numbers", {}, numbers});
  const std::pair<const char*, const char*> streams = {"stream_share", "0.5"};
  all.push_back(
      {"stream_labels", "True", "dataset = numbers", {}, {{"dataset", "numbers"}, streams}});
  all.push_back({"stream_labels", "True", "stream_share above 0", numbers, {streams}});
  for (const char* key : {"min_operations", "max_operations"})
    all.push_back({key,
                   "2",
                   "number_identity = pad",
                   {{"dataset", "numbers"}, {"number_identity", "none"}},
                   {{"number_identity", "pad"}}});
  for (const auto& [key, text] : {std::pair{"shuffle_labels", "True"}, {"max_cut_share", "0.4"}})
    all.push_back({key,
                   text,
                   key == std::string("shuffle_labels") ? "stream_share below 1 or stream_labels"
                                                        : "stream_share below 1",
                   {{"dataset", "numbers"}, {"stream_share", "1"}},
                   {{"stream_share", "0.5"}}});
  return all;
}

}  // namespace fathom::testing
