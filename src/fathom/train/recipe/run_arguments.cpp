#include "fathom/train/recipe/run_arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/config_file.h"
#include "fathom/config/path_text.h"
#include "fathom/data/corpus.h"
#include "fathom/data/numbers/numbers_data.h"
#include "fathom/data/prepare.h"
#include "fathom/io/files.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {

namespace {

// The experiment of a run's config.toml, whose first line is "# NAME, as resolved"; empty: it says
// none.
std::string experiment_of(const std::string& path) {
  if (kind_of(path) != PathKind::kFile) return "";
  std::string line = read_text_file(path, kMaxConfigBytes);
  line.resize(std::min(line.find('\n'), line.size()));
  const size_t end = line.find(", as resolved");
  if (line.rfind("# ", 0) != 0 || end == std::string::npos) return "";
  const std::string name = line.substr(2, end - 2);
  return registry().has(name) ? name : "";
}

// In the experiment's place, as nanoGPT's command lines have it.
void refuse_config_file(const std::string& word) {
  const std::string path = home_expanded(path_from_text(word));
  const std::string ending = std::filesystem::path(path).extension().string();
  if (ending != ".py" && ending != ".toml") return;
  const std::string stem = std::filesystem::path(path).stem().string();
  if (kind_of(path) == PathKind::kNothing && registry().config("", stem) == nullptr)
    misuse(fmt::format("there is no config file {}", in_quotes(word)),
           "an experiment stands before a config file's path; `fathom list` shows them");
  const std::string of_run = experiment_of(path);
  misuse(fmt::format("{} is a config file, and no experiment stands before it", in_quotes(word)),
         ending == ".py"  ? fmt::format("nanoGPT's model is `gpt2 {}`; `fathom list` shows others",
                                        escaped(word))
         : of_run.empty() ? "`fathom list` shows the experiments"
                          : fmt::format("that run's is `{} {}`", of_run, escaped(word)));
}

}  // namespace

std::string named_preset(const Arguments& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].rfind("--exp=", 0) == 0) return arguments[i].substr(6);
    if (arguments[i] == "--exp" && i + 1 < arguments.size()) return arguments[i + 1];
  }
  if (arguments.empty()) return "";
  // Before the first word there may be options, whose values nobody tells from words yet.
  if (arguments[0].rfind('-', 0) == 0) {
    for (const std::string& word : arguments)
      if (registry().has(word)) return word;
    return "";
  }
  if (!registry().has(arguments[0])) refuse_config_file(arguments[0]);
  return arguments[0];
}

std::vector<std::string> apply_settings(const std::vector<CommandLine::Setting>& settings,
                                        const std::string& preset, FieldList& list) {
  std::vector<std::string> notices;
  for (const auto& setting : settings) {
    if (!setting.key.empty() && setting.key != "config") {
      list.set_text(setting.key, setting.text, setting.origin);
      continue;
    }
    const std::string path = home_expanded(path_from_text(setting.text));
    const PathKind kind = kind_of(path);
    if (kind == PathKind::kFolder)
      misuse(fmt::format("{} is a folder, not a config file", in_quotes(path)),
             "config files are TOML or nanoGPT's .py");
    if (kind != PathKind::kNothing) {
      read_config_text(read_once(path, kMaxConfigBytes), path, list);
      continue;
    }
    const std::string& experiment = registry().preset(preset).experiment;
    const std::string stem = std::filesystem::path(path).stem().string();
    const ShippedConfig* shipped = registry().config(experiment, stem);
    if (shipped == nullptr)
      misuse(fmt::format("{} is neither a config file nor an option", in_quotes(setting.text)),
             "options are --key=value; config files are TOML or nanoGPT's .py");
    notices.push_back(
        fmt::format("{}: using the one that {} ships", setting.text, shipped->experiment));
    read_config_text(shipped->text, shipped->stem + shipped->ending, list);
  }
  return notices;
}

int64_t likely_corpus_vocab(const RunConfig& config) {
  const std::string& dataset = config.data.dataset;
  if (names_numbers(dataset)) return numbers_vocab_size(config.data.numbers.tokenizer);
  const std::vector<std::string> prepared = prepared_corpora();
  const bool is_folder = kind_of(path_from_text(dataset)) == PathKind::kFolder;
  if (is_folder || std::find(prepared.begin(), prepared.end(), dataset) != prepared.end()) {
    try {
      return Corpus::open(dataset).vocab_size();
    } catch (const Error&) {  // damaged: train and eval will say so
    }
  }
  for (const KnownCorpus& known : known_corpora())
    if (known.name == dataset) return known.vocab_size;
  return 0;
}

}  // namespace fathom
