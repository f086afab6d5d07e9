// Metrics as people read them.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Of "name/3" {3}; of a readout in loops, "name/3.0.1", {3, 0, 1}.
using ListPlace = std::vector<int>;
std::string to_text(const ListPlace& place);  // "3.0.1"
// Metrics that are called name/0, name/1, ... by name and place. The numbers may begin anywhere and
// leave some out.
std::map<std::string, std::map<ListPlace, double>> lists_of(
    const std::map<std::string, double>& metrics);

// Stored with the others, and left out where a line has to be short: a part of another metric
// ("accuracy.words"), one of a group ("norms/mean"), what another one is held against
// ("accuracy_baseline"), or what every layer would have said ("layer_loss/1", "exit_depth").
bool is_detail(const std::string& metric);
inline constexpr std::string_view kBaselineEnding = "_baseline";
// Of "accuracy.words" where the part's name begins, behind the point; npos: it is of no part. Lists
// ("loss/3.1") and numbers in names ("execution_0.01") have points of their own.
size_t begin_of_part(const std::string& metric);

// "infer 1.8633, exit_rate [0.056 0.023 0.008 0.913]": such a list is shown as one, with its
// numbers where they are not 0, 1, 2, ... ("layer_loss [1: 1.8779, 3: 1.8633]"), shares (names with
// "rate", "accuracy" or "correct") with three decimals, other numbers with four. Metrics of groups
// of layers, "loops/layers_1-2", are lists with words: "loops [layers 1-2: 3.0000; layer
// 4: 2.0000]". In the order of their names, lists last.
std::string metrics_text(const std::map<std::string, double>& metrics);

}  // namespace fathom
