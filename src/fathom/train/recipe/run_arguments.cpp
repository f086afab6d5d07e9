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
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/given_instead.h"
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

// Where a run of that name, or with that path, would lie.
std::string named_run_folder(const std::string& run) {
  const std::string path = home_expanded(run);
  return run.find('/') != std::string::npos ? path
                                            : (std::filesystem::path(runs_root()) / path).string();
}

bool is_run(const std::string& word) {
  const FolderUse use = word.empty() ? FolderUse::kFree : folder_use(named_run_folder(word));
  return use == FolderUse::kRun || use == FolderUse::kHeld;
}

// Data, or a file that has no settings.
void refuse_other(const std::string& word) {
  const auto other = given_instead(word);
  if (!other) return;
  misuse(fmt::format("{} is {}, not a config file", in_quotes(word), other->what),
         !other->data.empty()     ? fmt::format("--dataset={} takes it", shell_word(other->data))
         : !other->remedy.empty() ? other->remedy
                                  : "config files are TOML or nanoGPT's .py");
}

// Where neither a config file nor an option is.
[[noreturn]] void refuse_word(const std::string& word, bool is_folder) {
  const std::string quoted = in_quotes(word);
  if (registry().has(word))
    misuse(quoted + " is an experiment, and one is named already", "leave one of them out");
  if (is_run(word))
    misuse(quoted + " is a run, not a config file", resume_line(word) + " goes on with it");
  refuse_other(word);
  if (is_folder)
    misuse(quoted + " is a folder, not a config file",
           "config files are TOML or nanoGPT's .py; --dataset=FOLDER takes prepared data");
  misuse(quoted + " is neither a config file nor an option",
         "options are --key=value; config files are TOML or nanoGPT's .py");
}

bool is_file_name(const std::string& path) {
  const std::string ending = std::filesystem::path(path).extension().string();
  return ending == ".py" || ending == ".toml" || path.find('/') != std::string::npos;
}

// "; PRESET ships train_default, ...".
std::string shipped_hint(const std::string& experiment) {
  std::vector<std::string> stems;
  for (const ShippedConfig& config : registry().configs())
    if (config.experiment == experiment) stems.push_back(config.stem);
  return stems.empty() ? "" : fmt::format("; {} ships {}", experiment, join(stems, ", "));
}

// In the experiment's place, as nanoGPT's command lines have it.
void refuse_config_file(const std::string& word) {
  const std::string path = home_expanded(path_from_text(word));
  const std::string ending = std::filesystem::path(path).extension().string();
  if (ending != ".py" && ending != ".toml") return;
  const std::string stem = std::filesystem::path(path).stem().string();
  if (kind_of(path) == PathKind::kNothing && registry().config("", stem) == nullptr)
    misuse(fmt::format("there is no config file {}", in_quotes(word)),
           "check the path; an experiment stands before it, and `fathom list` shows them");
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

std::string resume_line(const std::string& run) {
  const std::string preset =
      run.empty() ? "" : experiment_of(named_run_folder(run) + "/config.toml");
  return fmt::format("`fathom train {} --run_name={} --resume`",
                     preset.empty() ? "EXPERIMENT" : preset,
                     run.empty() ? "NAME" : shell_word(run));
}

void require_preset(const std::string& word) {
  if (registry().has(word)) return;
  const std::string sentence = fmt::format("{} is no experiment", in_quotes(word));
  if (is_run(word)) misuse(sentence + ", but a run", resume_line(word) + " goes on with it");
  if (const auto other = given_instead(word))
    misuse(fmt::format("{}, but {}", sentence, other->what), other->hint());
  const PathKind kind = kind_of(home_expanded(word));
  if (kind == PathKind::kFolder)
    misuse(sentence + ", but a folder",
           "`fathom list` shows experiments; behind one, --dataset=FOLDER takes prepared data");
  if (kind == PathKind::kFile)
    misuse(sentence + ", but a file",
           fmt::format("`fathom prepare {}` makes data of a text; `fathom list` shows experiments",
                       shell_word(word)));
  registry().preset(word);  // throws
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
    if (kind == PathKind::kFolder) refuse_word(setting.text, /*is_folder=*/true);
    if (kind != PathKind::kNothing) {
      refuse_other(setting.text);
      read_config_text(read_once(path, kMaxConfigBytes), path, list);
      continue;
    }
    const std::string& experiment = registry().preset(preset).experiment;
    const std::string stem = std::filesystem::path(path).stem().string();
    const ShippedConfig* shipped = registry().config(experiment, stem);
    if (shipped == nullptr && is_file_name(path))
      misuse(fmt::format("there is no config file {}", in_quotes(setting.text)),
             "check the path" + shipped_hint(experiment));
    if (shipped == nullptr) refuse_word(setting.text, /*is_folder=*/false);
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
