// A run's configuration from a command line: preset, then config files and flags, left to right.
#pragma once

#include <string>
#include <vector>

#include "fathom/config/command_line.h"
#include "fathom/train/recipe/run_config.h"

namespace fathom {

// The preset that a command line names, wherever it stands: the value of --exp, else the first word
// that is a preset, else the first word if it is no option. Empty: none. Its settings, an
// experiment's own among them, are what the line may set.
std::string named_preset(const Arguments& arguments);

// Throws Error(kUsage) for a word in the experiment's place that is none, and says what it is: a
// run, data, a file, a folder, or nothing that is known. Returns for one that is.
void require_preset(const std::string& word);

// "`fathom train PRESET --run_name=RUN --resume`", of what RUN says of itself; empty: of any run.
std::string resume_line(const std::string& run);

// Applies the settings to `list`, whose fields point into the run's configuration. A config file is
// looked for as typed, then by its stem among those that experiments ship, `preset`'s own first.
// Returns a sentence for each file that was taken from there.
std::vector<std::string> apply_settings(const std::vector<CommandLine::Setting>& settings,
                                        const std::string& preset, FieldList& list);

// Vocabulary of the configured corpus: of the generated or prepared one, else of the known one of
// that name, else 0. Never fails.
int64_t likely_corpus_vocab(const RunConfig& config);

}  // namespace fathom
