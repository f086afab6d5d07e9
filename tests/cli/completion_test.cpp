// Completion: what the program answers, and the scripts in the shells that are here.
#include <sstream>

#include "cli/cli_testing.h"
#include "fathom/cli/completion/scripts.h"
#include "fathom/cli/verbs.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::Outcome;
using testing::Words;

class Completion : public testing::CliTest {
 protected:
  Completion() {
    for (const char* run : {"first", "second"})
      std::filesystem::create_directories(place_.path("runs") / run / "checkpoints");
  }
  // What the last word may become, without what it is.
  std::vector<std::string> offered(Words typed) const {
    typed.insert(typed.begin(), {"completion", "words"});
    const Outcome o = run(typed);
    EXPECT_EQ(o.exit_code, 0);
    EXPECT_EQ(o.err, "");
    std::vector<std::string> words;
    std::istringstream lines(o.out);
    for (std::string line; std::getline(lines, line);)
      words.push_back(line.substr(0, line.find('\t')));
    return words;
  }
  // A program of Debian's, or nothing.
  static bool is_here(const std::string& program) {
    return std::system(("command -v " + program + " >/dev/null").c_str()) == 0;
  }
  // What `shell` prints of that script.
  std::string said_by(const std::string& shell, const std::string& script) const {
    place_.write("script", script);
    const std::string command = "cd '" + place_.path("").string() +
                                "' && unset FATHOM_DATA FATHOM_RUNS && " + shell +
                                " script >said.txt 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << testing::slurp(place_.path("said.txt"));
    return testing::slurp(place_.path("said.txt"));
  }
};

TEST_F(Completion, VerbsAreOffered) {
  std::vector<std::string> names;
  for (const Verb& verb : verbs()) names.push_back(verb.name);
  EXPECT_EQ(offered({""}), names);
  EXPECT_THAT(offered({"tr"}), ElementsAre("train", "trace"));
  EXPECT_THAT(offered({"--v"}), ElementsAre("--version"));
  EXPECT_THAT(offered({"no_verb", ""}), IsEmpty());
}

TEST_F(Completion, EveryVerbOffersItsKeys) {
  for (const Verb& verb : verbs()) EXPECT_THAT(offered({verb.name, "--hel"}), Contains("--help"));
  EXPECT_THAT(offered({"train", "--n_l"}), ElementsAre("--n_layer="));
  // In the spelling that has been typed, and under a key's other names too.
  EXPECT_THAT(offered({"train", "--n-l"}), ElementsAre("--n-layer="));
  EXPECT_THAT(offered({"train", "--num-b"}), ElementsAre("--num-blocks="));
  EXPECT_THAT(offered({"train", "--num_b"}), ElementsAre("--num_blocks="));
  EXPECT_THAT(offered({"generate", "--max_"}), Contains("--max_len="));
  EXPECT_THAT(offered({"train", "--halt-rule=m"}),
              ElementsAre("--halt-rule=max", "--halt-rule=margin"));
  EXPECT_THAT(offered({"train", "quickstart", "--halt_rule=m"}),
              ElementsAre("--halt_rule=max", "--halt_rule=margin"));
  EXPECT_THAT(offered({"describe", "--bias="}), ElementsAre("--bias=true", "--bias=false"));
  EXPECT_THAT(offered({"train", "no_preset", "--n_l"}), ElementsAre("--n_layer="));
}

TEST_F(Completion, PresetsRunsAndCorporaAreOffered) {
  EXPECT_EQ(offered({"train", ""}).size(), registry().presets().size());
  EXPECT_THAT(offered({"bench", "step", "quick"}), Contains("quickstart"));
  for (const char* verb :
       {"eval", "generate", "trace", "loops", "sizes", "export", "plot", "compare"})
    EXPECT_THAT(offered({verb, ""}), ::testing::UnorderedElementsAre("first", "second")) << verb;
  EXPECT_THAT(offered({"compare", "first", "s"}), ElementsAre("second"));
  EXPECT_THAT(offered({"runs", "f"}), ElementsAre("first"));
  EXPECT_THAT(offered({"train", "--dataset=r"}), ElementsAre("--dataset=rain"));
  EXPECT_THAT(offered({"train", "--dataset", ""}), ElementsAre("rain"));
  EXPECT_THAT(offered({"prepare", "fine"}), ElementsAre("fineweb"));
  EXPECT_THAT(offered({"plan", "tiny"}), ElementsAre("tinystories"));
  EXPECT_THAT(offered({"train", "quickstart", ""}), IsEmpty()) << "config files, by the shell";
}

TEST_F(Completion, ScriptsArePrintedAndOthersRefused) {
  for (const CompletionScript& script : completion_scripts())
    EXPECT_EQ(run({"completion", script.shell}).out, script.text);
  const Outcome o = run({"completion", "tcsh"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, AllOf(HasSubstr("\"tcsh\""), HasSubstr("bash, zsh, fish")));
}

TEST_F(Completion, ScriptsAreSoundWhereTheirShellIsHere) {
  for (const CompletionScript& script : completion_scripts()) {
    if (!is_here(script.shell)) {
      printf("skipped: no %s to look at its script\n", script.shell.c_str());
      continue;
    }
    EXPECT_EQ(
        said_by(script.shell + (script.shell == "fish" ? " --no-execute" : " -n"), script.text),
        "");
  }
}

// As bash calls it: words cut at = and :, which the answer then begins behind.
TEST_F(Completion, BashCompletesWords) {
  const std::string ask =
      "ask() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _fathom; echo \"${COMPREPLY[*]}\"; }\n"
      "COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:'\n";
  const auto answers = [&](const std::string& words) {
    const std::string program = testing::fathom_program();
    return said_by("bash", "eval \"$('" + program + "' completion bash)\"\n" + ask + "ask '" +
                               program + "' " + words + "\n");
  };
  EXPECT_EQ(answers("tr"), "train trace\n");
  EXPECT_EQ(answers("train --dataset = ra"), "rain\n");
  EXPECT_EQ(answers("train --dataset ="), "rain\n");
  EXPECT_EQ(answers("train --halt_rule = m"), "max margin\n");
  EXPECT_EQ(answers("train --n_l"), "--n_layer=\n");
  EXPECT_EQ(answers("export s"), "second\n");
  EXPECT_EQ(answers("train --config = x"), "\n") << "files, which bash knows";
  EXPECT_THAT(said_by("bash", "eval \"$('" + testing::fathom_program() +
                                  "' completion bash)\"; complete -p fathom\n"),
              HasSubstr("-o default -F _fathom fathom"));
}

}  // namespace
}  // namespace fathom
