// `fathom completion bash|zsh|fish`
#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/cli/completion/scripts.h"
#include "fathom/cli/verbs.h"

namespace fathom {
namespace {

constexpr char kAnswer[] = "words";  // in place of a shell: what the scripts ask

std::vector<Suggestion> shells() {
  return {{"bash", "eval \"$(fathom completion bash)\""},
          {"zsh", "source <(fathom completion zsh)"},
          {"fish", "fathom completion fish | source"}};
}

void offer_verbs(const std::string& typed) {
  for (const Verb& verb : verbs())
    if (verb.name.rfind(typed, 0) == 0) fmt::print("{}\t{}\n", verb.name, verb.summary);
  for (const std::string option : {"--help", "--version"})
    if (!typed.empty() && option.rfind(typed, 0) == 0) fmt::print("{}\n", option);
}

// `typed`: what follows `fathom` on a command line, up to the word under the cursor. Whoever types
// is not told of mistakes yet.
int offer_words(const Arguments& typed) {
  const std::string current = typed.empty() ? "" : typed.back();
  if (typed.size() < 2) {
    offer_verbs(current);
    return 0;
  }
  for (const Verb& verb : verbs()) {
    if (verb.name != typed.front()) continue;
    Arguments question = {kComplete + current};
    question.insert(question.end(), typed.begin() + 1, typed.end() - 1);
    try {
      if (verb.run != nullptr)
        verb.run(question);
      else
        verb.check(question);
    } catch (const Error&) {
    }
  }
  return 0;
}

int run_completion(const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == kAnswer)
    return offer_words({arguments.begin() + 1, arguments.end()});
  CommandLine line("completion", "bash|zsh|fish",
                   "A script that completes verbs, keys, their values, presets, runs and prepared "
                   "corpora when Tab is typed. In a shell's start-up file:\n\n"
                   "  eval \"$(fathom completion bash)\"       # ~/.bashrc\n"
                   "  source <(fathom completion zsh)        # ~/.zshrc, after compinit\n"
                   "  fathom completion fish | source        # ~/.config/fish/config.fish",
                   "fathom completion bash");
  std::string shell;
  line.positional("SHELL", shell, "bash, zsh or fish");
  line.suggests(shells);
  FieldList none;
  if (!parse_into(line, arguments, none)) return 0;
  std::vector<std::string> known;
  for (const CompletionScript& script : completion_scripts()) {
    if (script.shell == shell) {
      fmt::print("{}", script.text);
      return 0;
    }
    known.push_back(script.shell);
  }
  misuse(fmt::format("there is no completion for {}", in_quotes(shell)), suggestion(shell, known));
}

}  // namespace

Verb verb_completion() {
  return {"completion", "completion for bash, zsh or fish", 120, run_completion};
}

}  // namespace fathom
