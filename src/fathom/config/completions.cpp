// What a word of a verb's command line may become, for the shells' completion.
#include <algorithm>
#include <string_view>

#include "fathom/config/command_line.h"

namespace fathom {
namespace {

bool begins_with(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

// The field that takes the next word as its value: of `--key` without `=`, unless it is a switch.
const Field* waiting_for_value(const std::string& word, const FieldList& fields) {
  if (!begins_with(word, "--") || word.find('=') != word.npos) return nullptr;
  const Field* field = fields.find(word.substr(2));
  return field != nullptr && !field->is_bool() && !field->switch_alias(word.substr(2)) ? field
                                                                                       : nullptr;
}

bool takes_value(const std::string& word, const FieldList& fields) {
  if (waiting_for_value(word, fields) != nullptr) return true;
  return std::any_of(
      fields.foreign_keys().begin(), fields.foreign_keys().end(),
      [&](const ForeignKey& key) { return key.takes_value && word == "--" + key.name; });
}

// Those that begin with `typed`, each behind `before`.
std::string fitting(const std::vector<Suggestion>& suggestions, const std::string& before,
                    const std::string& typed) {
  std::string out;
  for (const Suggestion& s : suggestions) {
    // A line break would make two of it.
    if (!begins_with(s.word, typed) || s.word.find_first_of("\n\t") != s.word.npos) continue;
    out += before + s.word;
    if (!s.help.empty()) out += '\t' + s.help;
    out += '\n';
  }
  return out;
}

// `--n-layer` and `--n_layer` are one key: in the spelling of what has been typed.
std::string spelled(std::string name, const std::string& typed) {
  const bool has_dashes = typed.find('-', 2) != typed.npos && typed.find('_') == typed.npos;
  if (has_dashes) std::replace(name.begin(), name.end(), '_', '-');
  return "--" + name;
}

// Names; and aliases too, once something of a name has been typed.
std::string options(const FieldList& fields, const std::string& typed) {
  std::vector<Suggestion> words;
  for (const Field& field : fields.all()) {
    const std::string end = field.is_bool() ? "" : "=";
    words.push_back({spelled(field.name(), typed) + end, field.help()});
    if (typed.size() <= 2) continue;
    for (const std::string& alias : field.aliases())
      words.push_back(
          {spelled(alias, typed) + (field.switch_alias(alias) ? "" : end), field.help()});
  }
  words.push_back({"--help", "what the verb does, and its keys"});
  return fitting(words, "", typed);
}

}  // namespace

const Suggestions* CommandLine::suggestions_at(const Arguments& before,
                                               const FieldList& fields) const {
  size_t place = 0;  // among the positional words
  bool only_words = false;
  for (size_t i = 0; i < before.size(); ++i) {
    const bool is_option = !only_words && begins_with(before[i], "-");
    only_words = only_words || before[i] == "--";
    if (is_option && takes_value(before[i], fields)) ++i;
    if (!is_option) ++place;
  }
  if (place < positionals_.size()) return &positionals_[place].suggestions;
  return more_words_ != nullptr ? &of_more_words_ : nullptr;
}

std::string CommandLine::completions(const Arguments& before, const std::string& current,
                                     const FieldList& fields) const {
  const bool only_words = std::find(before.begin(), before.end(), "--") != before.end();
  const size_t equals = current.find('=');
  if (!only_words && begins_with(current, "--") && equals != current.npos) {
    const std::string key = current.substr(0, equals + 1), typed = current.substr(equals + 1);
    if (key == "--help=") {
      std::vector<std::string> topics = {"all"};
      for (const Field& field : fields.all())
        if (std::find(topics.begin(), topics.end(), field.section()) == topics.end())
          topics.push_back(field.section());
      return fitting(as_suggestions(topics), key, typed);
    }
    const Field* field = fields.find(current.substr(2, equals - 2));
    return field != nullptr ? fitting(field->suggestions(), key, typed) : "";
  }
  if (!only_words && !before.empty())
    if (const Field* field = waiting_for_value(before.back(), fields))
      return fitting(field->suggestions(), "", current);
  if (!only_words && begins_with(current, "-")) return options(fields, current);
  const Suggestions* suggestions = suggestions_at(before, fields);
  return suggestions != nullptr && *suggestions ? fitting((*suggestions)(), "", current) : "";
}

}  // namespace fathom
