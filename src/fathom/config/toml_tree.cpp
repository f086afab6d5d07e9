#include "fathom/config/toml_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/config/config_file.h"
#include "fathom/config/literal.h"
#include "fathom/config/toml_text.h"

namespace fathom {
namespace {

using nlohmann::ordered_json;

ordered_json tree_of(const toml::node& node, const std::string& name);

// A table sorts its keys; the file's order is the one that a reader sees.
ordered_json tree_of_table(const toml::table& table, const std::string& name) {
  std::vector<std::pair<std::string_view, const toml::node*>> entries;
  for (const auto& [key, value] : table) entries.emplace_back(key.str(), &value);
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    const auto at = [](const toml::node& n) {
      return std::pair(n.source().begin.line, n.source().begin.column);
    };
    return at(*a.second) < at(*b.second);
  });
  // A name is looked for among those before it; TOML has none twice.
  ordered_json::object_t members;
  for (const auto& [key, value] : entries)
    members.emplace_back(std::string(key), tree_of(*value, name));
  return members;
}

ordered_json tree_of(const toml::node& node, const std::string& name) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* table = node.as_table()) return tree_of_table(*table, name);
  if (const auto* array = node.as_array()) {
    ordered_json list = ordered_json::array();
    for (const toml::node& item : *array) list.push_back(tree_of(item, name));
    return list;
  }
  misuse(fmt::format("{}:{}: dates and times are no values here", name, node.source().begin.line),
         "allowed: numbers, true, false, texts, lists and tables");
}

}  // namespace

ordered_json toml_tree(std::string_view text, const std::string& name, const std::string& hint) {
  if (text.size() > kMaxConfigBytes)
    misuse(
        fmt::format("{}: {} bytes are too many, allowed: {}", name, text.size(), kMaxConfigBytes),
        hint);
  return tree_of_table(parse_toml(plain_config_text(text, name), name, hint), name);
}

std::map<std::string, std::string> settings_of(std::string_view text, const std::string& name) {
  std::map<std::string, std::string> settings;
  const auto take = [&](const std::string& key, const ordered_json& value) {
    settings[key] = value.is_string() ? value.get<std::string>() : to_literal(value);
  };
  const ordered_json tree = toml_tree(text, name, "a config file is TOML");
  for (const auto& [key, value] : tree.items()) {
    if (value.is_object())
      for (const auto& [inner, setting] : value.items()) take(inner, setting);
    else
      take(key, value);
  }
  return settings;
}

}  // namespace fathom
