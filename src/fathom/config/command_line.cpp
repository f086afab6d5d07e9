#include "fathom/config/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <map>

#include "fathom/base/error.h"
#include "fathom/base/text.h"

namespace fathom {
namespace {

// Put before a text that CLI11 would interpret: it takes `--key=` for a forgotten value, and a word
// `[1,2]` for two.
constexpr char kGuard = '\x01';

constexpr char kHelpOf[] = "--help=";

std::string with_underscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

// The first name of which `typed` is a part, up to where words of it begin and end; empty: none.
std::string name_with_word(const std::string& typed, const std::vector<std::string>& names) {
  constexpr size_t kLeast = 3;  // letters, or a part says little
  if (typed.size() < kLeast) return "";
  for (const std::string& name : names)
    if (("_" + name).find("_" + typed) != std::string::npos) return name;
  return "";
}

const ForeignKey* foreign_key(const FieldList& fields, const std::string& name) {
  for (const ForeignKey& foreign : fields.foreign_keys())
    if (foreign.name == name) return &foreign;
  return nullptr;
}

bool is_truth(const std::string& word) {
  return word == "true" || word == "false" || word == "True" || word == "False";
}

bool begins_a_list(const std::string& word) {
  return !word.empty() &&
         (word[0] == '[' || std::isdigit(static_cast<unsigned char>(word[0])) != 0);
}

bool is_switch(const Field& field, const std::string& name) {
  return field.is_bool() || field.switch_alias(name) != nullptr;
}

// The words as CLI11 shall read them: names of known keys with underscores, the value of a switch
// attached to it (`--bias false`), and to a key that stands alone what it means then. All else
// stays as typed.
std::vector<std::string> for_cli11(const Arguments& arguments, const FieldList& fields) {
  std::vector<std::string> out;
  bool after_switch = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const size_t equals = std::min(word.find('='), word.size());
    const bool option = word.size() > 2 && word.rfind("--", 0) == 0;
    const std::string name = option ? with_underscores(word.substr(2, equals - 2)) : "";
    const Field* field = fields.find(name);
    const ForeignKey* foreign = foreign_key(fields, name);
    if (after_switch && is_truth(word)) {
      out.back() += "=" + word;
      after_switch = false;
      continue;
    }
    after_switch = equals == word.size() && ((foreign != nullptr && !foreign->takes_value) ||
                                             (field != nullptr && is_switch(*field, name)));
    out.push_back(field == nullptr && foreign == nullptr ? word
                                                         : "--" + name + word.substr(equals));
    if (option && equals + 1 == word.size()) out.back() += kGuard;
    const bool alone = i + 1 == arguments.size() || !begins_a_list(arguments[i + 1]);
    if (field != nullptr && !field->alone().empty() && equals == word.size() && alone)
      out.back() += "=" + field->alone();
    if (!word.empty() && word[0] == '[') out.back().insert(0, 1, kGuard);
  }
  return out;
}

std::string option_names(const Field& field) {
  std::string names = "--" + field.name();
  for (const std::string& alias : field.aliases())
    if (field.switch_alias(alias) == nullptr) names += ",--" + alias;
  return names;
}

// `sink` must outlive the parsing; what it ends up with is of no interest, for the values are read
// in the order typed.
void add_option(CLI::App& app, const Field& field, std::string& sink) {
  CLI::Option* option = field.is_bool() ? app.add_flag(option_names(field), sink, "")
                                        : app.add_option(option_names(field), sink, "");
  if (!field.is_bool()) option->expected(1);
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  for (const Field::SwitchAlias& alias : field.switch_aliases())
    app.add_flag("--" + alias.name, sink, "")->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// `command`: the verb, and the words that decide which keys it has.
[[noreturn]] void refuse_unknown(const std::string& word, const std::string& command,
                                 const FieldList& fields) {
  const std::string typed = word.substr(0, word.find('='));
  const std::string name =
      with_underscores(typed.substr(std::min(typed.find_first_not_of('-'), typed.size())));
  const std::string sentence = fmt::format("unknown key {}", escaped(typed));
  if (const std::string there = fields.unknown_explained(name, /*typed=*/true); !there.empty())
    misuse(sentence, there);
  std::vector<std::string> names;
  for (const Field& field : fields.all()) {
    names.push_back(field.name());
    for (const std::string& alias : field.aliases()) names.push_back(alias);
  }
  names.emplace_back("help");
  std::string nearest = nearest_name(name, names);
  if (nearest.empty()) nearest = name_with_word(name, names);
  misuse(sentence, (nearest.empty() ? "" : fmt::format("did you mean --{}? ", nearest)) +
                       fmt::format("`fathom {} --help=all` lists every key", command));
}

// "train small", of words that a shell takes as they are.
std::string with_words(std::string verb, const std::vector<std::string>& words, size_t most) {
  const auto is_plain = [](const std::string& word) {
    return word.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
               "_./-") == word.npos;
  };
  for (size_t i = 0; i < std::min(words.size(), most); ++i)
    if (is_plain(words[i])) verb += " " + words[i];
  return verb;
}

// Settings and, with an empty key, words, in the order typed; nothing where help is asked for.
// `deciding`: how many of the words decide which keys there are.
std::optional<std::vector<CommandLine::Setting>> split(const Arguments& arguments,
                                                       const FieldList& fields,
                                                       const std::string& verb, size_t deciding) {
  CLI::App app;
  app.allow_extras();
  std::string sink;
  for (const Field& field : fields.all()) add_option(app, field, sink);
  for (const ForeignKey& foreign : fields.foreign_keys()) {
    CLI::Option* option = foreign.takes_value
                              ? app.add_option("--" + foreign.name, sink, "")->expected(0, 1)
                              : app.add_flag("--" + foreign.name, sink, "");
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  std::vector<std::string> words;
  const CLI::Option* word_option =
      app.add_option("WORDS", words, "");  // or `[1,2]` becomes two words

  // What follows `--` are words, whatever they look like.
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  std::vector<std::string> reversed = for_cli11(Arguments(arguments.begin(), end), fields);
  std::reverse(reversed.begin(), reversed.end());  // CLI11 takes its vector from the back
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return std::nullopt;
  } catch (const CLI::ArgumentMismatch& e) {  // "--n_layer: 1 required TEXT missing"
    const std::string name = std::string(e.what()).substr(0, std::string(e.what()).find(':'));
    misuse(fmt::format("{}: a value is missing", escaped(name)),
           fmt::format("write {}=VALUE", escaped(name)));
  } catch (const CLI::ParseError& e) {
    misuse(escaped(e.what()), fmt::format("`fathom {} --help` shows the usage", verb));
  }
  for (const std::string& word : app.remaining())
    refuse_unknown(word, with_words(verb, words, deciding), fields);

  std::vector<CommandLine::Setting> settings;
  std::map<const CLI::Option*, size_t> taken;
  for (const CLI::Option* option : app.parse_order()) {
    std::string text = option->results().at(taken[option]++);
    if (!text.empty() && text[0] == kGuard) text.erase(0, 1);
    if (option == word_option)
      settings.push_back({"", text, text});
    else
      settings.push_back({option->get_lnames().front(), text, "--" + option->get_lnames().front()});
  }
  if (end != arguments.end())
    for (auto word = end + 1; word != arguments.end(); ++word)
      settings.push_back({"", *word, *word});
  return settings;
}

}  // namespace

CommandLine::CommandLine(std::string verb, std::string usage, std::string summary,
                         std::string example)
    : verb_(std::move(verb)),
      usage_(std::move(usage)),
      summary_(std::move(summary)),
      example_(std::move(example)) {}

void CommandLine::positional(std::string name, std::string& slot, std::string help, bool required) {
  positionals_.push_back({std::move(name), std::move(help), &slot, required, nullptr});
}

void CommandLine::takes_config_files() {
  takes_files_ = true;
  if (usage_.find("CONFIG_FILE") == usage_.npos) return;
  more_words_name_ = "CONFIG_FILE";
  more_words_help_ = "TOML, a run's config.toml too, or nanoGPT's .py, which is read and never run";
}

void CommandLine::takes_more_words(std::vector<std::string>& slot, std::string name,
                                   std::string help) {
  more_words_ = &slot;
  more_words_name_ = std::move(name);
  more_words_help_ = std::move(help);
}

void CommandLine::suggests(Suggestions suggestions) {
  if (!positionals_.empty()) positionals_.back().suggestions = suggestions;
  of_more_words_ = std::move(suggestions);
}

std::optional<std::vector<CommandLine::Setting>> CommandLine::parse(const Arguments& arguments,
                                                                    const FieldList& fields) {
  if (!arguments.empty() && arguments[0].rfind(kComplete, 0) == 0) {
    fmt::print("{}", completions({arguments.begin() + 1, arguments.end()},
                                 arguments[0].substr(std::strlen(kComplete)), fields));
    return std::nullopt;
  }
  for (auto word = arguments.begin(); word != arguments.end() && *word != "--"; ++word)
    if (word->rfind(kHelpOf, 0) == 0) {
      fmt::print("{}", help(fields, word->substr(std::strlen(kHelpOf))));
      return std::nullopt;
    }
  const auto all = split(arguments, fields, verb_, takes_files_ ? positionals_.size() : 0);
  if (!all) {
    fmt::print("{}", help(fields));
    return std::nullopt;
  }
  std::vector<Setting> settings;
  size_t next_positional = 0;
  for (const Setting& setting : *all) {
    if (!setting.key.empty() || (next_positional >= positionals_.size() && takes_files_)) {
      settings.push_back(setting);
    } else if (next_positional < positionals_.size()) {
      *positionals_[next_positional++].slot = setting.text;
    } else if (more_words_ != nullptr) {
      more_words_->push_back(setting.text);
    } else {
      misuse(fmt::format("unexpected word {}", in_quotes(setting.text)),
             fmt::format("usage: fathom {} {}", verb_, usage_));
    }
  }
  if (next_positional < positionals_.size() && positionals_[next_positional].required)
    misuse(fmt::format("{} is missing: {}", positionals_[next_positional].name,
                       positionals_[next_positional].help),
           "for example: " + example_);
  return settings;
}

bool parse_into(CommandLine& line, const Arguments& arguments, FieldList& fields) {
  const auto settings = line.parse(arguments, fields);
  if (!settings) return false;
  for (const auto& setting : *settings) fields.set_text(setting.key, setting.text, setting.origin);
  return true;
}

}  // namespace fathom
