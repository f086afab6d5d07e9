// What `--help` prints of a verb.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/command_line.h"
#include "fathom/config/literal.h"

namespace fathom {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kMeaning = 25;   // column where a key's meaning begins
constexpr size_t kManyKeys = 40;  // more are shown by section
constexpr char kAllKeys[] = "all";

// One line with its end, broken at spaces: what goes on begins in column `indent`. A line that fits
// stays as it is.
std::string wrapped_line(std::string line, size_t indent) {
  std::string out;
  while (line.size() > kWidth) {
    // Not within the indentation.
    const size_t begin = std::min(line.find_first_not_of(' '), line.size());
    size_t end = line.rfind(' ', kWidth);
    if (end == line.npos || end < begin) end = line.find(' ', std::max(begin, kWidth));
    if (end == line.npos) break;
    const std::string first = line.substr(0, end);
    out += first.substr(0, first.find_last_not_of(' ') + 1) + "\n";
    line = std::string(indent, ' ') + std::string(trim(line.substr(end)));
  }
  return out + line + "\n";
}

std::string wrapped_lines(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += wrapped_line(std::string(text.substr(0, end)), 0);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

// The value as it stands.
std::string shown_value(const Field& field) {
  const Value value = field.value();
  const bool bare = value.is_string() && !value.get<std::string>().empty() &&
                    value.get<std::string>().find_first_of(" \n\t") == std::string::npos;
  return bare ? value.get<std::string>() : to_literal(value);
}

std::string word_line(const std::string& name, const std::string& help) {
  return wrapped_line(fmt::format("  {:<14} {}", name, help), 17);
}

std::string key_line(const std::string& name, const std::string& text) {
  return wrapped_line(fmt::format("  {:<22} {}", name, text), kMeaning + 2);
}

// What goes on in the next line stands two columns further, so that it is no line of its own.
std::string entry(const Field& field) {
  const std::string range = field.range();
  std::string out =
      key_line("--" + field.name(), fmt::format("{} [{}]{}{}", field.type(), shown_value(field),
                                                range.empty() ? "" : ", ", range)) +
      key_line("", field.help());
  if (!field.alone().empty())
    out += key_line("", fmt::format("--{} alone: {}", field.name(), field.alone()));
  if (const auto needed = field.needed(); !needed.empty())
    out += key_line("", "needs " + join(needed, ", and "));
  std::vector<std::string> aliases;
  for (const std::string& name : field.aliases()) {
    const Field::SwitchAlias* alias = field.switch_alias(name);
    aliases.push_back(alias == nullptr ? name
                                       : fmt::format("{} (true: {}, false: {})", name,
                                                     alias->if_true, alias->if_false));
  }
  if (!aliases.empty()) out += key_line("", "also --" + join(aliases, ", --"));
  return out;
}

// The value, what the meaning begins with, and the choices.
std::string short_entry(const Field& field) {
  const std::string& help = field.help();
  std::string text = fmt::format("[{}] {}", shown_value(field),
                                 help.substr(0, std::min(help.find(';'), help.find(". "))));
  if (field.type() == join(field.choices(), " | ")) text += ": " + join(field.choices(), ", ");
  return key_line("--" + field.name(), text);
}

struct Section {
  std::string name;
  std::vector<const Field*> fields;
};

// In the order in which the list first has them.
std::vector<Section> sections_of(const FieldList& list) {
  std::vector<Section> sections;
  for (const Field& field : list.all()) {
    auto at = std::find_if(sections.begin(), sections.end(),
                           [&](const Section& s) { return s.name == field.section(); });
    if (at == sections.end()) at = sections.insert(at, Section{field.section(), {}});
    at->fields.push_back(&field);
  }
  return sections;
}

std::string entries(const Section& section) {
  std::string out = section.name.empty() ? "" : fmt::format("\n{}\n", section.name);
  for (const Field* field : section.fields) out += entry(*field);
  return out;
}

// "  optimizer       18  learning_rate, optimizer, ...": as many names as the line holds.
std::string summary_of(const Section& section) {
  std::string line = fmt::format("  {:<14} {:>3}  ", section.name, section.fields.size());
  for (size_t i = 0; i < section.fields.size(); ++i) {
    const std::string next = (i == 0 ? "" : ", ") + section.fields[i]->name();
    const bool is_last = i + 1 == section.fields.size();
    if (line.size() + next.size() + (is_last ? 0 : 5) > kWidth) return line + ", ...\n";
    line += next;
  }
  return line + "\n";
}

// `command`: the verb with its words, which decide what keys it has.
std::string usual_keys(const std::string& command, const FieldList& list,
                       const std::vector<Section>& sections) {
  std::string out = "\nusual keys\n";
  for (const Field& field : list.all())
    if (field.is_usual()) out += short_entry(field);
  out += wrapped_lines(fmt::format(
      "\nAll {} keys, by section: `fathom {} --help=SECTION` explains those of one, --help=all "
      "every key.\n\n",
      list.all().size(), command));
  for (const Section& section : sections) out += summary_of(section);
  return out;
}

std::string foreign_keys(const FieldList& list) {
  std::vector<std::string> ignored, refused;
  for (const ForeignKey& foreign : list.foreign_keys())
    (foreign.hint.empty() ? ignored : refused).push_back(foreign.name);
  std::string out;
  if (!ignored.empty()) out += wrapped_line("without effect here: " + join(ignored, ", "), 2);
  if (!refused.empty()) out += wrapped_line("refused: " + join(refused, ", "), 2);
  return (out.empty() ? "" : "\n") + out;
}

[[noreturn]] void refuse_topic(const std::string& topic, const std::string& verb,
                               const FieldList& list, const std::vector<Section>& sections) {
  std::vector<std::string> names = {kAllKeys};
  for (const Section& section : sections) names.push_back(section.name);
  const Field* field = list.find(topic);
  misuse(fmt::format("fathom {} has no keys of a section {}", verb, in_quotes(topic)),
         field != nullptr ? fmt::format("{} is a key of --help={}", topic, field->section())
                          : suggestion(topic, names));
}

}  // namespace

std::string CommandLine::help(const FieldList& fields, const std::string& topic) const {
  const std::vector<Section> sections = sections_of(fields);
  std::string typed = topic;
  std::replace(typed.begin(), typed.end(), '-', '_');
  for (const Section& section : sections)
    if (!topic.empty() && section.name == typed) return entries(section).substr(1);
  if (!topic.empty() && topic != kAllKeys) refuse_topic(topic, verb_, fields, sections);

  std::string out = wrapped_lines(summary_);
  out += fmt::format("\nUsage:   fathom {} {}\nExample: {}\n", verb_, usage_, example_);
  std::string words, command = verb_;
  for (const Positional& p : positionals_) {
    words += word_line(p.name, p.help);
    command += " " + p.name;
  }
  if (!more_words_help_.empty()) words += word_line(more_words_name_, more_words_help_);
  const bool begins_unnamed = !sections.empty() && sections.front().name.empty();
  if (!words.empty() || begins_unnamed) out += "\n" + words;
  const bool has_usual = std::any_of(fields.all().begin(), fields.all().end(),
                                     [](const Field& field) { return field.is_usual(); });
  if (topic.empty() && has_usual && fields.all().size() > kManyKeys)
    return out + usual_keys(command, fields, sections);
  for (const Section& section : sections) out += entries(section);
  return out + foreign_keys(fields);
}

}  // namespace fathom
