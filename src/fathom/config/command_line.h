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

class CommandLine {
 public:
  // `usage` is what follows the verb ("RUN [options]"), `example` a line that works as it stands.
  CommandLine(std::string verb, std::string usage, std::string summary, std::string example);

  // The first word that is not an option goes to `slot`, the next to the next one. Slots must
  // outlive parse().
  void positional(std::string name, std::string& slot, std::string help, bool required = true);
  // Words beyond the positional ones are config files; without this they are refused.
  void takes_config_files() { takes_files_ = true; }
  // Words beyond the positional ones are appended to `slot`.
  void takes_more_words(std::vector<std::string>& slot) { more_words_ = &slot; }

  // A word of the command line that sets something, in the order typed.
  struct Setting {
    std::string key;  // empty: `text` is a config file's path
    std::string text;
    std::string origin;  // "--n_layer"
  };
  // `fields` names the options; nothing is assigned yet, for what is assigned to may depend on the
  // positional words. Returns nothing when `--help` was asked for and printed. Throws
  // Error(kUsage).
  std::optional<std::vector<Setting>> parse(const Arguments& arguments, const FieldList& fields);
  // What `--help` prints: every field with its type, present value, range, meaning, needs and
  // aliases.
  std::string help(const FieldList& fields) const;

 private:
  struct Positional {
    std::string name, help;
    std::string* slot;
    bool required;
  };
  std::string verb_, usage_, summary_, example_;
  std::vector<Positional> positionals_;
  bool takes_files_ = false;
  std::vector<std::string>* more_words_ = nullptr;
};

// For verbs whose options are the whole story: parse and assign. False: help was printed.
bool parse_into(CommandLine& line, const Arguments& arguments, FieldList& fields);

}  // namespace fathom
