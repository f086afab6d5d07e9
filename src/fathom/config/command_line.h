// One verb's command line: positional words, `--key=value` for every field of a FieldList, and
// config files between them. CLI11 splits and prints help; the field list gives names, types and
// meaning.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "fathom/config/fields.h"

namespace fathom {

using Arguments = std::vector<std::string>;  // what follows the verb

// As the first argument, with the word that is being typed behind it: asks for what that may become
// after the arguments that follow. The shells' completion scripts do (`fathom completion`).
inline constexpr char kComplete[] = "--complete=";

class CommandLine {
 public:
  // `usage` is what follows the verb ("RUN [options]"), `example` a line that works as it stands.
  CommandLine(std::string verb, std::string usage, std::string summary, std::string example);

  // The first word that is not an option goes to `slot`, the next to the next one. Slots must
  // outlive parse().
  void positional(std::string name, std::string& slot, std::string help, bool required = true);
  // What the word declared last, and those of takes_more_words(), may be; other words are allowed.
  void suggests(Suggestions suggestions);
  // Words beyond the positional ones are config files; without this they are refused. Help explains
  // them where the usage calls them CONFIG_FILE.
  void takes_config_files();
  // Words beyond the positional ones are appended to `slot`. `name` and `help` are shown as theirs
  // are; empty: those say it.
  void takes_more_words(std::vector<std::string>& slot, std::string name = "",
                        std::string help = "");

  // A word of the command line that sets something, in the order typed.
  struct Setting {
    std::string key;  // empty: `text` is a config file's path
    std::string text;
    std::string origin;  // "--n_layer"
  };
  // `fields` names the options; nothing is assigned yet, for what is assigned to may depend on the
  // positional words. Returns nothing when `--help` or kComplete was asked for, and the answer
  // printed. Throws Error(kUsage).
  std::optional<std::vector<Setting>> parse(const Arguments& arguments, const FieldList& fields);
  // What `--help=TOPIC` prints, at most 80 columns wide unless a word is: fields with type, present
  // value, range, meaning, needs and aliases. TOPIC is `all`, or a section of the list, and then
  // its fields alone. Empty, of a long list: the usual fields, and the names of all sections.
  // Throws Error(kUsage) for another.
  std::string help(const FieldList& fields, const std::string& topic = "") const;
  // What `current`, a word of which something has been typed, may become behind the words `before`:
  // a line each, and behind a tab what it is. `--key=` comes with its values. None: a path, or
  // nothing that is known.
  std::string completions(const Arguments& before, const std::string& current,
                          const FieldList& fields) const;

 private:
  struct Positional {
    std::string name, help;
    std::string* slot;
    bool required;
    Suggestions suggestions;
  };
  const Suggestions* suggestions_at(const Arguments& before, const FieldList& fields) const;
  std::string verb_, usage_, summary_, example_;
  std::vector<Positional> positionals_;
  bool takes_files_ = false;
  std::vector<std::string>* more_words_ = nullptr;
  std::string more_words_name_, more_words_help_;
  Suggestions of_more_words_;
};

// For verbs whose options are the whole story: parse and assign. False: help was printed.
bool parse_into(CommandLine& line, const Arguments& arguments, FieldList& fields);

}  // namespace fathom
