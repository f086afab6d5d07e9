#include "fathom/train/recipe/freeze.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <sstream>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/model/spec/architecture.h"

namespace fathom {
namespace {

std::vector<std::string> split(const std::string& patterns) {
  std::vector<std::string> out;
  std::istringstream in(patterns);
  for (std::string word; std::getline(in, word, ',');) {
    word.erase(0, word.find_first_not_of(' '));
    word.erase(word.find_last_not_of(' ') + 1);
    if (!word.empty()) out.push_back(word);
  }
  return out;
}

void mark(const char* key, const std::string& patterns, const std::vector<ParameterSpec>& table,
          bool value, std::vector<bool>& frozen) {
  for (const std::string& pattern : split(patterns))
    for (const size_t i : parameters_named(key, pattern, table)) frozen[i] = value;
}

}  // namespace

void settle_own_freeze(const ModelConfig& model, OptimizerConfig& config) {
  config.own_freeze.clear();
  config.own_unfreeze.clear();
  config.own_groups.clear();
  if (model.architecture == nullptr || !model.architecture->freezes) return;
  const Architecture::Freeze own = model.architecture->freezes(model);
  config.own_groups = own.groups;
  if (!own.acts) return;
  config.own_freeze = own.freeze;
  config.own_unfreeze = own.unfreeze;
}

std::vector<size_t> parameters_named(const char* key, const std::string& pattern,
                                     const std::vector<ParameterSpec>& table) {
  std::vector<size_t> found;
  for (size_t i = 0; i < table.size(); ++i)
    if (fnmatch(pattern.c_str(), table[i].name.c_str(), 0) == 0) found.push_back(i);
  if (!found.empty()) return found;
  std::vector<std::string> names;
  for (const ParameterSpec& spec : table) names.push_back(spec.name);
  std::string nearest = nearest_name(pattern, names);
  // A part's name is the beginning of its tensors'.
  for (const std::string& name : names)
    if (name.rfind(pattern + ".", 0) == 0) nearest = pattern + ".*";
  misuse(fmt::format("{} = {} names no parameter", key, in_quotes(pattern)),
         nearest.empty() ? fmt::format("names are like {}, `*` is any text", names.back())
                         : fmt::format("did you mean {}?", nearest));
}

std::vector<bool> frozen_parameters(const OptimizerConfig& config,
                                    const std::vector<ParameterSpec>& table) {
  std::vector<bool> frozen(table.size());
  mark("freeze", config.own_freeze, table, true, frozen);
  mark("unfreeze", config.own_unfreeze, table, false, frozen);
  if (config.default_freeze) frozen.assign(table.size(), true);
  mark("freeze", config.freeze, table, true, frozen);
  mark("unfreeze", config.unfreeze, table, false, frozen);
  if (std::find(frozen.begin(), frozen.end(), false) == frozen.end())
    misuse("every parameter is frozen: nothing would be trained",
           config.default_freeze ? "--unfreeze=NAME,... says what to train"
                                 : "leave something out of freeze");
  return frozen;
}

}  // namespace fathom
