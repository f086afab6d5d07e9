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

// `--Mini-batch-size=4` stays as it is but for the dashes in its name; `--` alone ends options.
std::string with_underscores(const std::string& word) {
  if (word.rfind("--", 0) != 0 || word.size() == 2) return word;
  const size_t equals = std::min(word.find('='), word.size());
  std::string out = word;
  for (size_t i = 2; i < equals; ++i)
    if (out[i] == '-') out[i] = '_';
  return out;
}

std::string option_names(const Field& field) {
  std::string names = "--" + field.name();
  for (const std::string& alias : field.aliases()) names += ",--" + alias;
  return names;
}

std::string option_help(const Field& field) {
  const Value value = field.value();
  const std::string shown = value.is_string() ? value.get<std::string>() : to_literal(value);
  std::string help = field.help();
  if (!shown.empty()) help += fmt::format(" [{}]", shown);
  if (!field.range().empty()) help += fmt::format(" ({})", field.range());
  return help;
}

std::string type_label(const Field& field) {
  return field.choices().empty() ? field.type() : "{" + join(field.choices(), ",") + "}";
}

// `sink` must outlive the parsing; what it ends up with is of no interest, for the values are read
// in the order typed.
void add_option(CLI::App& app, const Field& field, std::string& sink) {
  CLI::Option* option = field.is_bool()
                            ? app.add_flag(option_names(field), sink, option_help(field))
                            : app.add_option(option_names(field), sink, option_help(field));
  if (!field.is_bool()) option->type_name(type_label(field))->expected(1);
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)->group(field.section());
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
  CLI::App app(fmt::format("{}\n\nUsage: fathom {} {}", summary_, verb_, usage_));
  app.allow_extras();
  app.set_help_flag("-h,--help", "this text");
  app.footer("Example: " + example_);
  app.get_formatter()->column_width(44);
  std::string sink;
  for (const Field& field : fields.all()) add_option(app, field, sink);
  for (const IgnoredKey& ignored : fields.ignored_keys())
    app.add_flag("--" + ignored.name, sink, "")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group("");
  std::vector<std::string> words;
  CLI::Option* word_option = app.add_option("WORDS", words, "")->group("");

  std::vector<std::string> reversed;  // CLI11 takes its vector from the back
  for (const std::string& argument : arguments) reversed.push_back(with_underscores(argument));
  std::reverse(reversed.begin(), reversed.end());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    std::string help = app.help();
    for (const Positional& p : positionals_)
      help.insert(help.find("\nOptions:"), fmt::format("  {:<20} {}\n", p.name, p.help));
    std::fputs(help.c_str(), stdout);
    return std::nullopt;
  } catch (const CLI::ParseError& e) {
    misuse(e.what(), fmt::format("`fathom {} --help` shows the usage", verb_));
  }
  for (const std::string& word : app.remaining()) refuse_unknown(word, verb_, fields);

  std::vector<Setting> settings;
  std::map<const CLI::Option*, size_t> taken;
  size_t next_positional = 0;
  for (const CLI::Option* option : app.parse_order()) {
    const std::string& text = option->results().at(taken[option]++);
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

bool parse_into(CommandLine& line, const Arguments& arguments, FieldList& fields) {
  const auto settings = line.parse(arguments, fields);
  if (!settings) return false;
  for (const auto& setting : *settings) fields.set_text(setting.key, setting.text, setting.origin);
  return true;
}

}  // namespace fathom
