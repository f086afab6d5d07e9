#include "fathom/study/compare/grouping.h"

#include <algorithm>
#include <set>

#include "fathom/base/text.h"

namespace fathom {
namespace {

// Of two runs that differ in these only, every loss is the same.
constexpr const char* kChangeNothing[] = {
    "log_interval",  "log_format",       "sample_interval", "sample_prompt", "checkpoint_interval",
    "save_interval", "keep_checkpoints", "threads",         "check_grads"};
constexpr const char* kDecideData[] = {"dataset",      "sampling",
                                       "batch_size",   "mini_batch_size",
                                       "block_size",   "gradient_accumulation_steps",
                                       "training_plan"};
constexpr size_t kMostNamed = 4;  // settings in a group's name

const std::string& setting(const RunFacts& run, const std::string& key) {
  static const std::string none;
  const auto found = run.settings.find(key);
  return found == run.settings.end() ? none : found->second;
}

bool is_same_group(const RunFacts& a, const RunFacts& b) {
  if (a.experiment != b.experiment) return false;
  const auto without = [](std::map<std::string, std::string> settings) {
    settings.erase("seed");
    for (const char* key : kChangeNothing) settings.erase(key);
    return settings;
  };
  return without(a.settings) == without(b.settings);
}

// Keys in which the groups whose first runs these are differ, in order.
std::vector<std::string> differing_keys(const std::vector<const RunFacts*>& runs) {
  std::set<std::string> keys, differing;
  for (const RunFacts* run : runs)
    for (const auto& [key, value] : run->settings) keys.insert(key);
  keys.erase("seed");
  for (const char* key : kChangeNothing) keys.erase(key);
  for (const std::string& key : keys)
    for (const RunFacts* run : runs)
      if (setting(*run, key) != setting(*runs[0], key)) differing.insert(key);
  // What a plan comes to depends on other settings; it alone tells groups apart where they do not.
  if (differing.size() > 1) differing.erase("training_plan");
  return {differing.begin(), differing.end()};
}

std::string named_by(const RunFacts& run, const std::vector<std::string>& keys) {
  std::vector<std::string> parts;
  for (const std::string& key : keys) {
    if (parts.size() == kMostNamed) {
      parts.push_back(std::to_string(keys.size() - kMostNamed) + " more");
      break;
    }
    const std::string& value = setting(run, key);
    parts.push_back(key + " = " + (value.empty() ? "not set" : value));
  }
  return join(parts, ", ");
}

void make_different(std::vector<RunGroup>& groups) {
  std::set<std::string> taken;
  for (RunGroup& group : groups) {
    const std::string name = group.name;
    for (int i = 2; !taken.insert(group.name).second; ++i)
      group.name = name + " (" + std::to_string(i) + ")";
  }
}

}  // namespace

std::string data_of(const RunFacts& run) {
  std::string data;
  for (const char* key : kDecideData) data += setting(run, key) + '\n';
  return data;
}

std::vector<RunGroup> group_runs(const std::vector<RunFacts>& runs) {
  std::vector<RunGroup> groups;
  for (size_t i = 0; i < runs.size(); ++i) {
    const auto same = std::find_if(groups.begin(), groups.end(), [&](const RunGroup& group) {
      return is_same_group(runs[group.runs[0]], runs[i]);
    });
    if (same == groups.end())
      groups.push_back({"", data_of(runs[i]), {i}});
    else
      same->runs.push_back(i);
  }
  std::map<std::string, std::vector<const RunFacts*>> by_experiment;
  for (const RunGroup& group : groups)
    by_experiment[runs[group.runs[0]].experiment].push_back(&runs[group.runs[0]]);
  for (RunGroup& group : groups) {
    const RunFacts& run = runs[group.runs[0]];
    const std::string differs = named_by(run, differing_keys(by_experiment[run.experiment]));
    const bool tells_preset = by_experiment.size() > 1 || differs.empty();
    group.name = !run.label.empty()                 ? run.label
                 : tells_preset && !differs.empty() ? run.experiment + ": " + differs
                 : tells_preset                     ? run.experiment
                                                    : differs;
  }
  make_different(groups);
  return groups;
}

}  // namespace fathom
