#include "fathom/train/recipe/parameter_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/train/recipe/decay.h"
#include "fathom/train/recipe/freeze.h"

namespace fathom {
namespace {

constexpr double kMostRate = 1e6, kMostDecay = 1e30, kMostSteps = 1e12;

// Two of them fit into a sentence.
std::string shown(std::string_view text) {
  constexpr size_t kMost = 40;
  return quoted_start(text.substr(0, kMost)) + (text.size() > kMost ? " and so on" : "");
}

[[noreturn]] void refuse(std::string_view group, const std::string& why) {
  misuse(fmt::format("parameter_groups: {}: {}", shown(group), why),
         "a group is a pattern, a colon and its settings, as in head.*: lr=0.1, decay=0, "
         "frozen_until=500; groups are set apart by semicolons");
}

// What stands before `end`, which is dropped, without spaces around it.
std::string_view take(std::string_view& rest, char end) {
  const size_t at = std::min(rest.find(end), rest.size());
  const std::string_view taken = trim(rest.substr(0, at));
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return taken;
}

double number(std::string_view group, std::string_view key, std::string_view text) {
  try {
    const Value value = parse_literal(std::string(text));
    if (value.is_number()) return value.get<double>();
  } catch (const Error&) {  // said below
  }
  refuse(group, fmt::format("{} = {} is no number", key, shown(text)));
}

void set(std::string_view group, std::string_view setting, ParameterGroup& out) {
  const std::string_view key = take(setting, '=');
  if (key != "lr" && key != "decay" && key != "frozen_until")
    refuse(group, fmt::format("{} is no setting, allowed: lr, decay, frozen_until", shown(key)));
  const double x = number(group, key, trim(setting));
  const auto require = [&](bool holds, const char* allowed) {
    if (!holds) refuse(group, fmt::format("{} = {} is out of range, allowed: {}", key, x, allowed));
  };
  if (key == "lr") {
    require(x > 0 && x <= kMostRate, "0 < lr <= 1e6");
    out.rate = x;
  } else if (key == "decay") {
    require(x >= 0 && x <= kMostDecay, "0 <= decay <= 1e30");
    out.decay = x;
  } else {
    require(x >= 0 && x <= kMostSteps && x == std::floor(x),
            "whole numbers, 0 <= frozen_until <= 1e12");
    out.frozen_until = static_cast<int64_t>(x);
  }
}

ParameterGroup read_group(std::string_view text) {
  const std::string_view group = text;
  ParameterGroup out;
  if (text.find(':') == std::string_view::npos) refuse(group, "it has no colon");
  out.pattern = std::string(take(text, ':'));
  if (out.pattern.empty()) refuse(group, "it names no parameters");
  if (trim(text).empty()) refuse(group, "it sets nothing");
  std::set<std::string_view> seen;
  while (!text.empty()) {
    const std::string_view setting = take(text, ',');
    std::string_view key = setting;
    if (!seen.insert(take(key, '=')).second) refuse(group, "it sets something twice");
    set(group, setting, out);
  }
  return out;
}

}  // namespace

std::vector<ParameterGroup> read_parameter_groups(const std::string& text) {
  std::vector<ParameterGroup> groups;
  for (std::string_view rest = text; !rest.empty();)
    if (const std::string_view group = take(rest, ';'); !group.empty())
      groups.push_back(read_group(group));
  return groups;
}

std::vector<ParameterSetting> parameter_settings(const OptimizerConfig& config,
                                                 const std::vector<ParameterSpec>& table) {
  const std::vector<bool> frozen = frozen_parameters(config, table);
  std::vector<ParameterSetting> settings(table.size());
  std::vector<bool> grouped(table.size());
  for (size_t i = 0; i < table.size(); ++i) {
    settings[i].frozen = frozen[i];
    if (decays(table[i], config.decay_rule)) settings[i].weight_decay = config.weight_decay;
  }
  // Whether any of its parameters was in none before.
  const auto set_group = [&](const ParameterGroup& group) {
    bool acts = false;
    for (const size_t i : parameters_named("parameter_groups", group.pattern, table)) {
      if (grouped[i]) continue;
      acts = grouped[i] = true;
      settings[i].rate = group.rate;
      settings[i].frozen_until = group.frozen_until;
      if (group.decay) settings[i].weight_decay = *group.decay;
    }
    return acts;
  };
  for (const ParameterGroup& group : read_parameter_groups(config.parameter_groups))
    if (!set_group(group))
      misuse(fmt::format("parameter_groups: all that {} names is in the groups before it",
                         quoted_start(group.pattern)),
             "the first group that fits counts: put the narrower pattern first");
  for (const ParameterGroup& group : read_parameter_groups(config.own_groups)) set_group(group);
  if (std::all_of(settings.begin(), settings.end(), [](auto& s) { return s.frozen_at(0); }))
    misuse(
        "parameter_groups: every parameter is frozen in the first step: nothing would be trained",
        "leave frozen_until out of one group");
  return settings;
}

}  // namespace fathom
