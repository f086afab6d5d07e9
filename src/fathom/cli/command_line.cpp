#include "fathom/cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/literal.h"

namespace fathom {
namespace {

// CLI11 takes `--key=` for a forgotten value; here it is the empty text.
constexpr char kEmptyText[] = "\x01";

// `--mini-batch-size=4` -> `--mini_batch_size=4`; `--` alone ends options.
std::string for_cli11(const std::string& word) {
  if (word.rfind("--", 0) != 0 || word.size() == 2) return word;
  const size_t equals = std::min(word.find('='), word.size());
  std::string out = equals + 1 == word.size() ? word + kEmptyText : word;
  for (size_t i = 2; i < equals; ++i)
    if (out[i] == '-') out[i] = '_';
  return out;
}

std::string option_names(const Field& field) {
  std::string names = "--" + field.name();
  for (const std::string& alias : field.aliases()) names += ",--" + alias;
  return names;
}

// "int [12] 1 <= n_layer": type, value as it stands, and range.
std::string option_facts(const Field& field) {
  const Value value = field.value();
  const bool bare = value.is_string() && !value.get<std::string>().empty() &&
                    value.get<std::string>().find_first_of(" \n\t") == std::string::npos;
  const std::string shown = bare ? value.get<std::string>() : to_literal(value);
  return fmt::format("{} [{}]{}{}", field.type(), shown, field.range().empty() ? "" : ", ",
                     field.range());
}

// `sink` must outlive the parsing; what it ends up with is of no interest, for the values are read
// in the order typed.
void add_option(CLI::App& app, const Field& field, std::string& sink) {
  CLI::Option* option = field.is_bool() ? app.add_flag(option_names(field), sink, "")
                                        : app.add_option(option_names(field), sink, "");
  if (!field.is_bool()) option->expected(1);
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

[[noreturn]] void refuse_unknown(const std::string& word, const std::string& verb,
                                 const FieldList& fields) {
  const std::string name = word.substr(word.find_first_not_of('-'), word.find('=') - 2);
  std::vector<std::string> names;
  for (const Field& field : fields.all()) {
    names.push_back(field.name());
    for (const std::string& alias : field.aliases()) names.push_back(alias);
  }
  const std::string nearest = nearest_name(name, names);
  misuse(fmt::format("unknown key {}", word.substr(0, word.find('='))),
         (nearest.empty() ? "" : fmt::format("did you mean --{}? ", nearest)) +
             fmt::format("`fathom {} --help` lists every key", verb));
}

}  // namespace

CommandLine::CommandLine(std::string verb, std::string usage, std::string summary,
                         std::string example)
    : verb_(std::move(verb)),
      usage_(std::move(usage)),
      summary_(std::move(summary)),
      example_(std::move(example)) {}

void CommandLine::positional(std::string name, std::string& slot, std::string help, bool required) {
  positionals_.push_back({std::move(name), std::move(help), &slot, required});
}

std::optional<std::vector<CommandLine::Setting>> CommandLine::parse(const Arguments& arguments,
                                                                    const FieldList& fields) {
  CLI::App app;
  app.allow_extras();
  std::string sink;
  for (const Field& field : fields.all()) add_option(app, field, sink);
  for (const IgnoredKey& ignored : fields.ignored_keys())
    app.add_flag("--" + ignored.name, sink, "")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group("");
  std::vector<std::string> words;
  CLI::Option* word_option = app.add_option("WORDS", words, "");

  std::vector<std::string> reversed;  // CLI11 takes its vector from the back
  for (const std::string& argument : arguments) reversed.push_back(for_cli11(argument));
  std::reverse(reversed.begin(), reversed.end());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", help(fields));
    return std::nullopt;
  } catch (const CLI::ParseError& e) {
    misuse(e.what(), fmt::format("`fathom {} --help` shows the usage", verb_));
  }
  for (const std::string& word : app.remaining()) refuse_unknown(word, verb_, fields);

  std::vector<Setting> settings;
  std::map<const CLI::Option*, size_t> taken;
  size_t next_positional = 0;
  for (const CLI::Option* option : app.parse_order()) {
    const std::string& result = option->results().at(taken[option]++);
    const std::string text = result == kEmptyText ? "" : result;
    if (option != word_option) {
      settings.push_back({option->get_lnames().front(), text, "--" + option->get_lnames().front()});
    } else if (next_positional < positionals_.size()) {
      *positionals_[next_positional++].slot = text;
    } else if (takes_files_) {
      settings.push_back({"", text, text});
    } else {
      misuse(fmt::format("unexpected word {}", in_quotes(text)),
             fmt::format("usage: fathom {} {}", verb_, usage_));
    }
  }
  if (next_positional < positionals_.size() && positionals_[next_positional].required)
    misuse(fmt::format("{} is missing: {}", positionals_[next_positional].name,
                       positionals_[next_positional].help),
           "for example: " + example_);
  return settings;
}

std::string CommandLine::help(const FieldList& fields) const {
  std::string out = fmt::format("{}\n\nUsage:   fathom {} {}\nExample: {}\n\n", summary_, verb_,
                                usage_, example_);
  for (const Positional& p : positionals_) out += fmt::format("  {:<14} {}\n", p.name, p.help);
  std::string section;
  for (const Field& field : fields.all()) {
    if (field.section() != section) out += fmt::format("\n{}\n", section = field.section());
    out += fmt::format("  --{:<20} {}\n  {:<22} {}\n", field.name(), option_facts(field), "",
                       field.help());
    if (!field.aliases().empty())
      out += fmt::format("  {:<22} also --{}\n", "", fmt::join(field.aliases(), ", --"));
  }
  return out;
}

bool parse_into(CommandLine& line, const Arguments& arguments, FieldList& fields) {
  const auto settings = line.parse(arguments, fields);
  if (!settings) return false;
  for (const auto& setting : *settings) fields.set_text(setting.key, setting.text, setting.origin);
  return true;
}

}  // namespace fathom
