#include "fathom/data/choices.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/io/json_text.h"

namespace fathom {
namespace {

using nlohmann::json;

constexpr const char* kHint =
    "one object in each line, such as {\"ctx\": ..., \"endings\": [..., ...], \"label\": 0}";

// Null where it is not there.
const json* member(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const std::string* text_of(const json& object, const char* key, const std::string& name) {
  const json* value = member(object, key);
  if (value == nullptr) return nullptr;
  if (!value->is_string())
    fail(fmt::format("{} has {} = {}, not a text", name, key, shown_json(*value)), kHint);
  return value->get_ptr<const std::string*>();
}

std::string context_of(const json& object, const std::string& name) {
  const std::string* whole = text_of(object, "ctx", name);
  const std::string* first = text_of(object, "ctx_a", name);
  if (whole == nullptr && first == nullptr)
    fail(fmt::format("{} has neither ctx nor ctx_a", name), kHint);
  std::string context = whole != nullptr ? *whole : *first;
  if (whole == nullptr)
    if (const std::string* second = text_of(object, "ctx_b", name); second && !second->empty())
      context += " " + *second;
  if (context.empty())
    fail(fmt::format("{} has an empty context", name), "something has to come before the endings");
  return context;
}

std::vector<std::string> endings_of(const json& object, const std::string& name) {
  const json* list = member(object, "endings");
  if (list == nullptr || !list->is_array())
    fail(list == nullptr ? fmt::format("{} has no endings", name)
                         : fmt::format("{} has endings = {}, not a list", name, shown_json(*list)),
         kHint);
  if (list->size() < 2 || list->size() > kMostEndings)
    fail(fmt::format("{} has {}, it takes 2 to {}", name,
                     counted(static_cast<int64_t>(list->size()), "ending"), kMostEndings),
         kHint);
  std::vector<std::string> endings;
  for (const json& ending : *list) {
    const auto* text = ending.get_ptr<const std::string*>();
    if (text == nullptr || text->empty())
      fail(fmt::format("{} has {} for its ending {}", name,
                       text == nullptr ? shown_json(ending) : "an empty text", endings.size()),
           "an ending is a text");
    endings.push_back(*text);
  }
  return endings;
}

// A whole number, or a text of one; none: it is neither.
std::optional<int64_t> whole_number(const json& value) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX) return {};
  if (value.is_number_integer()) return value.get<int64_t>();
  const auto* text = value.get_ptr<const std::string*>();
  if (text == nullptr) return {};
  int64_t number = 0;
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, number);
  return error == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

size_t label_of(const json& object, size_t endings, const std::string& name) {
  const json* value = member(object, "label");
  const std::string published = "published test splits have no labels, validation splits do";
  if (value == nullptr) fail(fmt::format("{} has no label", name), published);
  const std::optional<int64_t> label = whole_number(*value);
  if (!label || *label < 0 || *label >= static_cast<int64_t>(endings))
    fail(fmt::format("{} has label = {}, of its {} endings one is 0 to {}", name,
                     value->is_string() ? quoted_start(value->get_ref<const std::string&>())
                                        : shown_json(*value),
                     endings, endings - 1),
         published);
  return static_cast<size_t>(*label);
}

std::vector<int64_t> encoded(const Tokenizer& tokenizer, const std::string& text,
                             const std::string& name) {
  std::vector<uint32_t> ids;
  try {
    ids = tokenizer.encode(text);
  } catch (const Error& error) {
    fail(fmt::format("{}: {}", name, error.what()),
         "the model's tokenizer has no tokens for it: take one that was trained on bytes or byte "
         "pairs");
  }
  if (ids.empty()) fail(fmt::format("{}: the text {} has no tokens", name, quoted_start(text)));
  return {ids.begin(), ids.end()};
}

}  // namespace

bool operator==(const Choice& a, const Choice& b) {
  return a.context == b.context && a.endings == b.endings && a.label == b.label;
}

Choice read_choice(std::string_view line, const std::string& name) {
  json object;
  try {
    object = parse_json(line, name);
  } catch (const Error& error) {
    fail(error.what(), kHint);
  }
  if (!object.is_object())
    fail(fmt::format("{} is {}, not an object of fields", name, shown_json(object)), kHint);
  Choice choice;
  choice.context = context_of(object, name);
  choice.endings = endings_of(object, name);
  choice.label = label_of(object, choice.endings.size(), name);
  choice.place = name;
  return choice;
}

std::string choice_line(const Choice& choice) {
  return json_text(
      json{{"ctx", choice.context}, {"endings", choice.endings}, {"label", choice.label}});
}

std::vector<Choice> read_choices(std::string_view text, const std::string& path, int64_t most) {
  std::vector<Choice> choices;
  for (int64_t number = 1; !text.empty(); ++number) {
    if (most > 0 && static_cast<int64_t>(choices.size()) == most) break;
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!trim(line).empty())
      choices.push_back(read_choice(line, fmt::format("{}, line {}", escaped(path), number)));
  }
  if (choices.empty()) fail(fmt::format("{} has no questions", escaped(path)), kHint);
  return choices;
}

ChoiceRows choice_rows(const Tokenizer& tokenizer, const Choice& choice, int64_t seen,
                       const std::string& name) {
  const std::vector<int64_t> context = encoded(tokenizer, choice.context, name);
  std::vector<std::vector<int64_t>> endings;
  int64_t longest = 0;
  for (const std::string& ending : choice.endings) {
    endings.push_back(encoded(tokenizer, " " + ending, name));
    longest = std::max(longest, static_cast<int64_t>(endings.back().size()));
  }
  // An ending's last token is only predicted.
  const int64_t room = seen - (longest - 1);
  if (room < 1)
    fail(fmt::format("{}: an ending has {} tokens, and the model sees {} at once", name, longest,
                     seen),
         "leave the question out, or take a model with a larger block_size");
  ChoiceRows out;
  const auto length = static_cast<int64_t>(context.size());
  out.cut = std::max<int64_t>(length - room, 0);
  for (const std::vector<int64_t>& ending : endings) {
    ChoiceRows::Row row;
    row.tokens.assign(context.begin() + out.cut, context.end());
    row.ending_at = row.tokens.size();
    row.tokens.insert(row.tokens.end(), ending.begin(), ending.end());
    out.rows.push_back(std::move(row));
  }
  return out;
}

TokenBatch choice_batch(const std::vector<ChoiceRows::Row>& rows) {
  TokenBatch all;
  for (const ChoiceRows::Row& row : rows) {
    const size_t T = row.tokens.size() - 1;
    TokenBatch one = empty_batch(1, static_cast<int64_t>(T));
    for (size_t t = 0; t < T; ++t) {
      one.tokens[t] = row.tokens[t];
      one.targets[t] = t + 1 >= row.ending_at ? row.tokens[t + 1] : -1;
    }
    append(all, one);
  }
  return all;
}

}  // namespace fathom
