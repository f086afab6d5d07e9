#include "fathom/config/config_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = 1 << 20;

std::string where(const std::string& file, const toml::node& node) {
  return fmt::format("{}:{}", file, node.source().begin.line);
}

// "none" stands for None: TOML has no null.
json from_toml(const toml::node& node, const std::string& origin) {
  if (const auto* text = node.as_string()) {
    const std::string& value = text->get();
    return value == "none" ? json(nullptr) : json(value);
  }
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* array = node.as_array()) {
    json list = json::array();
    for (const toml::node& item : *array) list.push_back(from_toml(item, origin));
    return list;
  }
  misuse(fmt::format("{}: dates, times and nested tables are no values here", origin),
         "allowed: numbers, true, false, texts, lists, and \"none\"");
}

void set_from_toml(FieldList& fields, const std::string& key, const toml::node& node,
                   const std::string& origin) {
  const Field* field = fields.find(key);
  // A text field may well hold the word none.
  if (field != nullptr && field->is_text() && node.is_string())
    return fields.set(key, node.as_string()->get(), origin);
  fields.set(key, from_toml(node, origin), origin);
}

void read_toml(const std::string& text, const std::string& name, FieldList& fields) {
  toml::table table;
  try {
    table = toml::parse(text, name);
  } catch (const toml::parse_error& e) {
    misuse(fmt::format("{}:{}: {}", name, e.source().begin.line, e.description()),
           "a config file is TOML, or lines of `key = value` with # comments");
  }
  for (const auto& [key, node] : table) {
    const std::string origin = where(name, node);
    const toml::table* section = node.as_table();
    if (section == nullptr) {
      set_from_toml(fields, std::string(key.str()), node, origin);
      continue;
    }
    for (const auto& [inner, value] : *section) {
      const Field* field = fields.find(std::string(inner.str()));
      if (field != nullptr && field->section() != key.str())
        misuse(fmt::format("{}: {} belongs to [{}], not to [{}]", where(name, value), field->name(),
                           field->section(), key.str()),
               "sections may be left out: every key's name is unique");
      set_from_toml(fields, std::string(inner.str()), value, where(name, value));
    }
  }
}

// `value # comment` -> `value`; a # inside quotes stays.
std::string_view without_comment(std::string_view line) {
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0)
      quote = c == quote ? 0 : quote;
    else if (c == '\'' || c == '"')
      quote = c;
    else if (c == '#')
      return line.substr(0, i);
  }
  return line;
}

bool is_identifier(std::string_view name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  return true;
}

void read_nanogpt(const std::string& text, const std::string& name, FieldList& fields) {
  std::istringstream lines(text);
  std::string raw;
  for (int number = 1; std::getline(lines, raw); ++number) {
    const std::string_view line = trim(without_comment(raw));
    if (line.empty()) continue;
    const std::string origin = fmt::format("{}:{}", name, number);
    const size_t equals = line.find('=');
    const std::string key(trim(line.substr(0, equals)));
    if (equals == std::string_view::npos || !is_identifier(key))
      misuse(fmt::format("{}: {} is not a line `key = literal`", origin, in_quotes(line)),
             "a Python config file is read, not executed: imports and calls are refused");
    json value;
    try {
      value = parse_literal(trim(line.substr(equals + 1)));
    } catch (const Error& e) {
      misuse(fmt::format("{}: {}", origin, e.what()),
             "a Python config file is read, not executed: only literals are taken");
    }
    fields.set(key, value, origin);
  }
}

// A TOML basic string: JSON's escapes, and DEL, which TOML does not allow bare.
std::string toml_string(const std::string& text) {
  std::string out;
  for (const char c : json(text).dump())
    if (c == 0x7F)
      out += "\\u007f";
    else
      out += c;
  return out;
}

}  // namespace

void read_config_text(const std::string& text, const std::string& name, FieldList& fields) {
  if (text.size() > kMaxConfigBytes)
    misuse(fmt::format("{}: {} bytes are too many for a config file, allowed: {}", name,
                       text.size(), kMaxConfigBytes));
  const bool python = name.size() > 3 && name.compare(name.size() - 3, 3, ".py") == 0;
  python ? read_nanogpt(text, name, fields) : read_toml(text, name, fields);
}

void read_config_file(const std::string& path, FieldList& fields) {
  std::ifstream file(path, std::ios::binary);
  if (!file) misuse(fmt::format("no config file {}", path), "give the path of a TOML or .py file");
  std::string text(kMaxConfigBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (file.fail() && !file.eof())) fail(fmt::format("{}: cannot be read", path));
  text.resize(static_cast<size_t>(file.gcount()));
  read_config_text(text, path, fields);
}

std::string to_toml(const FieldList& fields) {
  std::string out, section;
  for (const Field& field : fields.all()) {
    if (field.section() != section) {
      section = field.section();
      out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    }
    const json value = field.value();
    const std::string text = value.is_null()     ? "\"none\""
                             : value.is_string() ? toml_string(value.get<std::string>())
                                                 : to_literal(value);
    out += fmt::format("{} = {}\n", field.name(), text);
  }
  return out;
}

}  // namespace fathom
