#include "fathom/config/config_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"
#include "fathom/config/toml_text.h"

namespace fathom {
namespace {

using nlohmann::json;

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

struct TomlEntry {
  std::string section, key;  // section: empty at the top level
  const toml::node* value;
};

// A table sorts its keys; the file's order is the one that a reader sees.
std::vector<TomlEntry> entries_in_order(const toml::table& table) {
  std::vector<TomlEntry> entries;
  for (const auto& [key, node] : table) {
    if (const toml::table* section = node.as_table())
      for (const auto& [inner, value] : *section)
        entries.push_back({std::string(key.str()), std::string(inner.str()), &value});
    else
      entries.push_back({"", std::string(key.str()), &node});
  }
  std::sort(entries.begin(), entries.end(), [](const TomlEntry& a, const TomlEntry& b) {
    const auto at = [](const TomlEntry& e) {
      return std::pair(e.value->source().begin.line, e.value->source().begin.column);
    };
    return at(a) < at(b);
  });
  return entries;
}

// How many keys it set.
size_t read_toml(const std::string& text, const std::string& name, FieldList& fields) {
  const toml::table table =
      parse_toml(text, name, "a config file is TOML, or lines of `key = value` with # comments");
  std::map<std::string, std::string> seen;  // where each key was set
  for (const TomlEntry& entry : entries_in_order(table)) {
    const std::string origin = where(name, *entry.value);
    const Field* field = fields.find(entry.key);
    if (field != nullptr && !entry.section.empty() && !field->belongs_to(entry.section))
      misuse(fmt::format("{}: {} belongs to [{}], not to [{}]", origin, field->name(),
                         field->section(), escaped(entry.section)),
             "sections may be left out: every key's name is unique");
    const auto [first, fresh] = seen.emplace(field ? field->name() : entry.key, origin);
    if (!fresh)
      misuse(fmt::format("{}: {} is set twice, the first time at {}", origin, escaped(first->first),
                         first->second),
             "keep one of the two");
    set_from_toml(fields, entry.key, *entry.value, origin);
  }
  return seen.size();
}

// `value # comment` -> `value`; a # inside quotes stays.
std::string_view without_comment(std::string_view line) {
  char quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0 && c == '\\')
      ++i;
    else if (quote != 0)
      quote = c == quote ? 0 : quote;
    else if (c == '\'' || c == '"')
      quote = c;
    else if (c == '#')
      return line.substr(0, i);
  }
  return line;
}

// nanoGPT writes some counts as products: `5 * 8`.
json parse_product(std::string_view text) {
  const std::string_view numeric = "0123456789.eE+-_* \t";
  if (text.find('*') == std::string_view::npos ||
      text.find_first_not_of(numeric) != std::string_view::npos)
    return parse_literal(text);
  int64_t whole = 1;
  double real = 1;
  bool is_whole = true;
  for (size_t begin = 0, star = 0; star < text.size(); begin = star + 1) {
    star = std::min(text.find('*', begin), text.size());
    const json factor = parse_literal(trim(text.substr(begin, star - begin)));
    real *= factor.get<double>();
    is_whole = is_whole && factor.is_number_integer() &&
               !__builtin_mul_overflow(whole, factor.get<int64_t>(), &whole);
  }
  return is_whole ? json(whole) : json(real);
}

bool is_identifier(std::string_view name) {
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  return true;
}

// How many keys it set.
size_t read_nanogpt(const std::string& text, const std::string& name, FieldList& fields) {
  std::istringstream lines(text);
  std::string raw;
  size_t keys = 0;
  for (int number = 1; std::getline(lines, raw); ++number) {
    if (raw.rfind(kByteOrderMark, 0) == 0) raw.erase(0, 3);  // of a file that was appended
    const std::string_view line = trim(without_comment(raw));
    if (line.empty()) continue;
    const std::string origin = fmt::format("{}:{}", name, number);
    const size_t equals = line.find('=');
    const std::string key(trim(line.substr(0, equals)));
    if (equals == std::string_view::npos || !is_identifier(key))
      misuse(fmt::format("{}: {} is not a line `key = literal`", origin, quoted_start(line)),
             "a Python config file is read, not executed: imports and calls are refused");
    json value;
    try {
      value = parse_product(trim(line.substr(equals + 1)));
    } catch (const Error& e) {
      misuse(fmt::format("{}: {}", origin, e.what()),
             "a Python config file is read, not executed: only literals are taken");
    }
    fields.set(key, value, origin);
    ++keys;
  }
  return keys;
}

// A TOML basic string: JSON's escapes, and DEL, which TOML does not allow bare.
std::string toml_string(const std::string& text) {
  std::string out;
  for (const char c : json(text).dump(-1, ' ', false, json::error_handler_t::replace))
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
  const std::string plain = plain_config_text(text, name);
  const size_t keys = python ? read_nanogpt(plain, name, fields) : read_toml(plain, name, fields);
  if (keys > 0) return;
  const bool empty = trim(plain).empty();
  fields.note(fmt::format("{} sets nothing: {}", escaped(name),
                          empty ? "it is empty" : "it has nothing but comments and sections"));
}

void read_config_file(const std::string& path, FieldList& fields) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file && errno != 0 && errno != ENOENT && errno != ENOTDIR)
    fail(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
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
