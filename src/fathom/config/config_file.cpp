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

namespace fathom {
namespace {

using nlohmann::json;

constexpr char kMark[] = "\xEF\xBB\xBF";  // of UTF-8, by editors that begin a file with one

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

// The last character of the TOML string that begins at text[i]; counts the lines that it spans.
size_t string_end(std::string_view text, size_t i, int& line) {
  const char quote = text[i];
  const bool is_long = text.substr(i, 3) == std::string(3, quote);
  for (i += is_long ? 3 : 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n' && !is_long) return i - 1;  // not closed: the parser will say so
    line += c == '\n';
    if (c == '\\' && quote == '"')
      ++i;
    else if (c == quote && !is_long)
      return i;
    else if (c == quote &&
             text.substr(i, 3) == std::string(3, quote))  // its last quotes may be five
      return std::min({text.find_first_not_of(quote, i), text.size(), i + 5}) - 1;
  }
  return text.size();
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

// Text as the parsers take it: without a byte order mark, and every line ends as lines do here.
// What is no UTF-8 at all is told by its first bytes, lest the parser complain of a character
// nobody sees.
std::string plain_text(std::string_view text, const std::string& name) {
  const auto begins = [&](std::string_view mark) { return text.substr(0, mark.size()) == mark; };
  using namespace std::string_view_literals;
  const bool utf16 = begins("\xFF\xFE"sv) || begins("\xFE\xFF"sv);
  if (utf16 || text.find('\0') != std::string_view::npos)
    misuse(fmt::format("{} is {}, not UTF-8", escaped(name),
                       utf16 ? "UTF-16" : "UTF-16 without its mark, or no text"),
           "save it as UTF-8; `iconv -f UTF-16 -t UTF-8` converts it");
  if (begins(kMark)) text.remove_prefix(3);
  std::string out(text);
  for (size_t i = 0; i < out.size(); ++i)
    if (out[i] == '\r' && (i + 1 == out.size() || out[i + 1] != '\n')) out[i] = '\n';
  return out;
}

// Refuses keys of many parts, `a.b.c.d = 1`: the parser makes a table inside a table of them, and
// the stack does not hold what a megabyte of dots asks for. Strings and comments are told apart as
// TOML does, lest something hide in them.
void check_keys(std::string_view text, const std::string& name) {
  constexpr int kMaxParts = 16;
  int line = 1, parts = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"' || c == '\'') {
      i = string_end(text, i, line);
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (c == '\n' || std::string_view("=,[]{}").find(c) != std::string_view::npos) {
      line += c == '\n';
      parts = 1;
    } else if (c == '.' && ++parts > kMaxParts) {
      misuse(fmt::format("{}:{}: a key has more than {} parts", name, line, kMaxParts),
             "keys are names, under their [section] or without one");
    }
  }
}

// `hint` says what the file should be.
toml::table parse_toml(const std::string& text, const std::string& name, const char* hint) {
  check_keys(text, name);
  try {
    return toml::parse(text, name);
  } catch (const toml::parse_error& e) {
    misuse(fmt::format("{}:{}: {}", name, e.source().begin.line, escaped(e.description())), hint);
  }
}

// Tables in the order of the file.
nlohmann::ordered_json tree_of(const toml::node& node, const std::string& name) {
  using Tree = nlohmann::ordered_json;
  constexpr size_t kMostMembers = 4096;  // each is looked for among those before it
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* integer = node.as_integer()) return integer->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* array = node.as_array()) {
    Tree list = Tree::array();
    for (const toml::node& item : *array) list.push_back(tree_of(item, name));
    return list;
  }
  const toml::table* table = node.as_table();
  if (table == nullptr)
    misuse(where(name, node) + ": dates and times are no values here",
           "allowed: numbers, true, false, texts, lists and tables");
  if (table->size() > kMostMembers)
    misuse(fmt::format("{}: a table of more than {} keys", where(name, node), kMostMembers),
           "no table of ours has so many");
  std::vector<std::pair<std::string, const toml::node*>> members;
  for (const auto& [key, value] : *table) members.emplace_back(std::string(key.str()), &value);
  std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) {
    const auto at = [](const toml::node* n) {
      return std::pair(n->source().begin.line, n->source().begin.column);
    };
    return at(a.second) < at(b.second);
  });
  Tree object = Tree::object();
  for (const auto& [key, value] : members) object[key] = tree_of(*value, name);
  return object;
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
    if (raw.rfind(kMark, 0) == 0) raw.erase(0, 3);  // of a file that was appended
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

nlohmann::ordered_json read_toml_tree(const std::string& text, const std::string& name) {
  if (text.size() > kMaxConfigBytes)
    misuse(
        fmt::format("{}: {} bytes are too many, allowed: {}", name, text.size(), kMaxConfigBytes));
  return tree_of(parse_toml(plain_text(text, name), name, "it is read as TOML, as its name says"),
                 name);
}

void read_config_text(const std::string& text, const std::string& name, FieldList& fields) {
  if (text.size() > kMaxConfigBytes)
    misuse(fmt::format("{}: {} bytes are too many for a config file, allowed: {}", name,
                       text.size(), kMaxConfigBytes));
  const bool python = name.size() > 3 && name.compare(name.size() - 3, 3, ".py") == 0;
  const std::string plain = plain_text(text, name);
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
