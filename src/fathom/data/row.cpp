#include "fathom/data/row.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <nlohmann/json.hpp>
#include <vector>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr const char* kHint =
    "one object in each line, such as {\"prompt\": ..., \"truth\": ...} or {\"text\": ...}";

std::string as_text(const json& value) {
  return value.is_string() ? value.get<std::string>() : json_text(value);
}

const json* member(const json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

// Of all the fields that are there; none: there is none of them.
std::optional<std::string> joined(const json& row, std::string_view fields) {
  std::optional<std::string> text;
  while (!fields.empty()) {
    const size_t comma = std::min(fields.find(','), fields.size());
    if (const json* value = member(row, trim(fields.substr(0, comma))))
      text = text ? *text + "\n" + as_text(*value) : as_text(*value);
    fields.remove_prefix(std::min(comma + 1, fields.size()));
  }
  return text;
}

// Published under several names.
std::string speaker(const std::string& role) {
  for (const char* name : {"assistant", "gpt", "chatgpt", "model", "bot"})
    if (role == name) return "Assistant";
  if (role == "user" || role == "human") return "User";
  std::string shown = role.empty() ? "User" : role;
  shown[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(shown[0])));
  return shown;
}

// A message's content may be a list of parts, of which the texts count.
std::string content_of(const json& message, const char* key) {
  const json* content = member(message, key);
  if (content == nullptr) return "";
  if (!content->is_array()) return as_text(*content);
  std::string text;
  for (const json& part : *content) {
    if (!part.is_object()) return as_text(*content);
    if (const json* words = member(part, "text")) text += as_text(*words);
  }
  return text;
}

struct Message {
  std::string speaker, content;
};

std::vector<Message> messages_of(const json& row) {
  for (const auto& [list, role, content] :
       {std::array{"messages", "role", "content"}, {"conversations", "from", "value"}}) {
    const json* found = member(row, list);
    if (found == nullptr || !found->is_array()) continue;
    std::vector<Message> messages;
    for (const json& message : *found) {
      if (!message.is_object()) return {};
      const json* from = member(message, role);
      messages.push_back(
          {speaker(from != nullptr ? as_text(*from) : ""), content_of(message, content)});
    }
    return messages;
  }
  return {};
}

std::optional<Row> from_messages(const std::vector<Message>& messages) {
  const auto answer = std::find_if(messages.rbegin(), messages.rend(), [](const Message& m) {
    return m.speaker == "Assistant" && !m.content.empty();
  });
  if (answer == messages.rend()) return {};
  Row row;
  row.truth = answer->content;
  for (const Message& m : messages) {
    if (&m == &*answer) break;
    row.prompt += m.speaker + ":\n" + m.content + "\n";
  }
  row.prompt += "Assistant:\n";
  return row;
}

}  // namespace

bool operator==(const Row& a, const Row& b) {
  return a.is_text == b.is_text && a.prompt == b.prompt && a.truth == b.truth &&
         a.title == b.title && a.text == b.text;
}

std::optional<Row> read_row(std::string_view line, const RowFields& fields,
                            const std::string& name) {
  if (line.size() > kMostRowBytes)
    fail(fmt::format("{} has {} bytes, a row has at most {}", name,
                     with_commas(static_cast<int64_t>(line.size())),
                     with_commas(static_cast<int64_t>(kMostRowBytes))),
         "cut it into several rows, or leave it out");
  json object;
  try {
    object = parse_json(line, name);
  } catch (const Error& error) {
    fail(error.what(), kHint);
  }
  if (!object.is_object())
    fail(fmt::format("{} is {}, not an object of fields", name, shown_json(object)), kHint);
  Row row;
  if (auto truth = joined(object, fields.truth)) {
    row.truth = std::move(*truth);
    row.prompt = joined(object, fields.prompt).value_or("");
    if (row.prompt.empty() && row.truth.empty()) return {};
    return row;
  }
  if (auto answered = from_messages(messages_of(object))) return answered;
  row.is_text = true;
  row.text = joined(object, fields.text).value_or("");
  if (row.text.empty()) return {};
  row.title = joined(object, fields.title).value_or("");
  return row;
}

std::string row_line(const Row& row) {
  json object = {{"prompt", row.prompt}, {"truth", row.truth}};
  if (row.is_text) object = {{"text", row.text}};
  if (row.is_text && !row.title.empty()) object["title"] = row.title;
  return json_text(object);
}

std::string shown_fields(std::string_view line) {
  constexpr size_t kMost = 6;
  std::vector<std::string> names;
  try {
    const json object = parse_json(line, "this");
    if (!object.is_object()) return "";
    for (const auto& [name, value] : object.items()) {
      if (names.size() == kMost) break;
      names.push_back(escaped(name));
    }
  } catch (const Error&) {
    return "";
  }
  return join(names, ", ");
}

}  // namespace fathom
