// The program's answers that need no tensors: list, describe, help; and who wins over whom.
#include <algorithm>
#include <ctime>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/cli_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/train/request.h"
#include "fathom/cli/verbs.h"
#include "fathom/track/terminal.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Outcome;
using ::testing::StartsWith;
using testing::Words;

class DescribeTest : public testing::CliTest {
 protected:
  // `describe --json` of these words.
  json described(Words words) const {
    words.insert(words.begin(), "describe");
    words.push_back("--json");
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.exit_code == 0 ? json::parse(o.out) : json();
  }
  json config(const Words& words) const { return described(words)["config"]; }
};

// What was wrapped for a terminal.
std::string in_one_line(const std::string& text) {
  std::istringstream words(text);
  std::string out;
  for (std::string word; words >> word;) out += (out.empty() ? "" : " ") + word;
  return out;
}

TEST_F(DescribeTest, ListNamesEveryPreset) {
  const Outcome text = run({"list"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.err, "");
  const json list = json::parse(run({"list", "--json"}).out);
  ASSERT_EQ(list.size(), registry().presets().size());
  for (size_t i = 0; i < list.size(); ++i) {
    const Preset& preset = registry().presets()[i];
    EXPECT_EQ(list[i]["name"], preset.name);
    EXPECT_EQ(list[i]["experiment"], preset.experiment);
    EXPECT_EQ(list[i]["summary"], preset.summary);
    EXPECT_EQ(list[i]["parameters"], described({preset.name})["parameters"]) << preset.name;
    const std::string& name = preset.name;
    const bool is_again =
        name.size() > 6 && name.substr(name.size() - 6) == "_small" &&
        text.out.find("\n  " + name.substr(0, name.size() - 6) + " ") != std::string::npos;
    EXPECT_EQ(text.out.find("\n  " + name + " ") == std::string::npos, is_again) << name;
    if (is_again) continue;
    EXPECT_THAT(in_one_line(text.out), HasSubstr(preset.summary));
  }
}

// Whatever is not a setting, which is copied as a line of a config file.
TEST_F(DescribeTest, LinesFitATerminalOf80Columns) {
  const auto expect_fits = [&](const Words& words) {
    std::istringstream lines(run(words).out);
    for (std::string line; std::getline(lines, line) && line != "settings";)
      EXPECT_LE(text_width(line), 80) << line;
  };
  expect_fits({"list"});
  expect_fits({"plan", "list"});
  for (const char* preset : {"dag_small", "axm", "looped_huginn", "quickstart"})
    expect_fits({"describe", preset});
  expect_fits(
      {"describe", "quickstart", "--objective",
       "loss = ce [layers=all]; sure = -0.01*p_max [layers=0..-2]; a = 0.25*ce [layers=0]"});
}

// A preset's name further on is another word, not the experiment.
TEST_F(DescribeTest, TheFirstWordIsTheExperiment) {
  for (const char* verb : {"describe", "train"}) {
    EXPECT_THAT(run({verb, "g", "gpt2"}).err, HasSubstr("unknown experiment \"g\""));
    const Outcome o = run({verb, "nope.py"});
    EXPECT_EQ(o.exit_code, 2);
    EXPECT_THAT(o.err, HasSubstr("there is no config file \"nope.py\""));
  }
  EXPECT_EQ(described({"--n_layer", "3", "gpt2"})["config"]["n_layer"], 3);
}

TEST_F(DescribeTest, HelpOfAVerbMayBeAskedBeforeIt) {
  EXPECT_EQ(run({"--help=all"}).out, run({"--help"}).out);
  EXPECT_THAT(run({"--help"}).out, HasSubstr("  completion  completion for bash"));
  EXPECT_EQ(run({"--help=runs"}).out, run({"runs", "--help"}).out);
  EXPECT_THAT(run({"--help=rums"}).err, HasSubstr("did you mean runs?"));
  EXPECT_THAT(run({"runs", "--help"}).out, HasSubstr("  PATTERN        of runs' names: `*`"));
}

// Each row is read by itself, and in any order.
TEST_F(DescribeTest, NoPresetSaysThatItIsTheSameAsOneThatIsNotNamed) {
  for (const Preset& preset : registry().presets()) {
    EXPECT_THAT(preset.summary, Not(HasSubstr("the same"))) << preset.name;
    EXPECT_NE(preset.summary.rfind("and ", 0), 0U) << preset.name;
  }
  EXPECT_THAT(run({"list"}).out, HasSubstr(" of these as NAME_small too"));
}

TEST_F(DescribeTest, TextHoldsTheNumbersAndTheSettings) {
  const Outcome o = run({"describe", "gpt2ish"});
  EXPECT_EQ(o.exit_code, 0);
  EXPECT_EQ(o.err, "");
  for (const char* part : {"120,560,209", "66,908,928", "51,200 tokens", "n_layer = 6\n",
                           "mini_batch_size = 4\n", "[optimizer]"})
    EXPECT_THAT(o.out, HasSubstr(part));
  EXPECT_THAT(o.out, Not(HasSubstr("\x1b"))) << "no colours in a file";
}

TEST_F(DescribeTest, TheOptimiserIsInTheMemoryAndGroupsInTheDecay) {
  const auto memory = [&](const char* optimizer) {
    return described({"gpt2ish", std::string("--optimizer=") + optimizer})["training_memory_bytes"]
        .get<double>();
  };
  EXPECT_EQ(memory("adamw") - memory("sgd"), 4.0 * 120560209);
  EXPECT_EQ(memory("adam"), memory("adamw"));
  // 768 * 50257 + 50257 of head, 66,908,928 decay without a group
  EXPECT_THAT(run({"describe", "gpt2ish", "--parameter_groups=head.*: decay=0"}).out,
              HasSubstr("28,311,552\n"));
}

TEST_F(DescribeTest, JsonHoldsTheSameNumbers) {
  const json d = described({"gpt2ish"});
  EXPECT_EQ(d["preset"], "gpt2ish");
  EXPECT_EQ(d["parameters"], 120560209);
  EXPECT_EQ(d["vocab_size"], 50257);
  EXPECT_EQ(d["tokens_per_step"], 50 * 1024);
  int64_t sum = 0;
  for (const auto& [part, count] : d["parameters_by_part"].items()) sum += count.get<int64_t>();
  EXPECT_EQ(sum, 120560209);
  const json& parts = d["parameters_by_part"];
  EXPECT_EQ(d["parameters_without_embeddings"].get<int64_t>() +
                parts["token table"].get<int64_t>() + parts["position table"].get<int64_t>(),
            sum);
  EXPECT_EQ(described({"dag_predictor"})["parameters_without_embeddings"], 1654046 - 1609728);
  EXPECT_EQ(d["flops_per_token_training"], 3 * d["flops_per_token_forward"].get<double>());
}

TEST_F(DescribeTest, BlocksAreShownAsAFormula) {
  const Words words = {"test_runner", "--wiring=r = r + A(n)*M(n)", "--share=one"};
  const json wiring = described(words)["wiring"];
  ASSERT_EQ(wiring["blocks"].size(), 1u);
  const std::string hash = wiring["blocks"][0]["hash"];
  Words text = words;
  text.insert(text.begin(), "describe");
  const std::string out = run(text).out;
  for (const char* part : {"blocks\n", "A(n)", "instances       1, shared by 6 layers\n",
                           hash.c_str(), "positions         added to the token's row\n"})
    EXPECT_THAT(out, HasSubstr(part));
  EXPECT_EQ(described({"test_runner"})["wiring"]["attention"]["count"], 6) << "of a style's too";
}

// What `describe` prints as settings is a config file that gives the same run.
TEST_F(DescribeTest, ItsSettingsAreAConfigFile) {
  const std::string out =
      run({"describe", "gpt2ish_shakespeare", "--lr=3e-4", "--dataset=rain"}).out;
  place_.write("again.toml", out.substr(out.find("[backbone]")));
  EXPECT_EQ(config({"test_runner", "again.toml"}),
            config({"gpt2ish_shakespeare", "--lr=3e-4", "--dataset=rain"}));
}

TEST_F(DescribeTest, AWidthAloneGivesHeadsThatFitAndSaysSo) {
  const Outcome o = run({"describe", "gpt2ish", "--num-blocks", "2", "--embed-dim", "128"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("\nnote: n_head = 8"));
  const json d = described({"gpt2ish", "--num-blocks", "2", "--embed-dim", "128"});
  EXPECT_EQ(d["config"]["n_layer"], 2);
  EXPECT_EQ(d["config"]["n_embd"], 128);
  EXPECT_EQ(d["config"]["n_head"], 8);
  // The rule of the notebook's table: V d + T d + L (12 d^2 + 13 d) + 2 d + d V + V.
  const int64_t V = 50257, C = 128;
  EXPECT_EQ(d["parameters"], V * C + 1024 * C + 2 * (12 * C * C + 13 * C) + 2 * C + C * V + V);
}

TEST_F(DescribeTest, TheCorpusDecidesTheVocabulary) {
  EXPECT_EQ(described({"gpt2ish", "--dataset=rain"})["vocab_size"], 25);
  EXPECT_EQ(described({"gpt2ish"})["vocab_size"], 50257);
  EXPECT_EQ(described({"gpt2ish", "--dataset=rain", "--vocab_size=64"})["vocab_size"], 64);
}

TEST_F(DescribeTest, PresetThenFileThenFlag) {
  place_.write("a.toml", "n_layer = 3\ndropout = 0.5\n");
  EXPECT_EQ(config({"gpt2ish"})["n_layer"], 6);
  EXPECT_EQ(config({"gpt2ish", "a.toml"})["n_layer"], 3);
  EXPECT_EQ(config({"gpt2ish", "--config=a.toml"})["n_layer"], 3);
  EXPECT_EQ(config({"gpt2ish", "--config", "a.toml"})["n_layer"], 3);
  const json both = config({"gpt2ish", "a.toml", "--n_layer=4"});
  EXPECT_EQ(both["n_layer"], 4);
  EXPECT_EQ(both["dropout"], 0.5);
  EXPECT_EQ(both["n_embd"], 768) << "what nobody changes stays the preset's";
}

TEST_F(DescribeTest, FilesAndFlagsActFromLeftToRight) {
  place_.write("a.toml", "n_layer = 3\n");
  place_.write("b.py", "n_layer = 5\n");
  EXPECT_EQ(config({"gpt2ish", "--n_layer=4", "a.toml"})["n_layer"], 3);
  EXPECT_EQ(config({"gpt2ish", "a.toml", "b.py"})["n_layer"], 5);
  EXPECT_EQ(config({"gpt2ish", "b.py", "--config=a.toml"})["n_layer"], 3);
  EXPECT_EQ(config({"gpt2ish", "--num_blocks=7", "--n_layer=8", "--num-blocks", "9"})["n_layer"],
            9);
  const json first = config({"--n_layer=4", "gpt2ish_shakespeare"});
  EXPECT_EQ(first["n_layer"], 4) << "flags may come first";
  EXPECT_EQ(first["n_embd"], 384) << "and the preset still counts";
}

TEST_F(DescribeTest, ShippedConfigFilesAreFoundByTheirStem) {
  const Outcome o = run({"describe", "gpt2ish", "config/train_shakespeare_char.py"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("note: config/train_shakespeare_char.py"));
  EXPECT_EQ(config({"gpt2ish", "train_shakespeare_char"})["n_embd"], 384);
  // A file of that name in the folder comes first.
  std::filesystem::create_directory(place_.path("config"));
  place_.write("config/train_shakespeare_char.py", "n_embd = 96\n");
  EXPECT_EQ(config({"gpt2ish", "config/train_shakespeare_char.py"})["n_embd"], 96);
}

TEST_F(DescribeTest, HelpOfEveryVerbShowsAnExample) {
  for (const Verb& verb : verbs()) {
    for (const char* word : {"--help", "-h"}) {
      const Outcome o = run({verb.name, word});
      EXPECT_EQ(o.exit_code, 0) << verb.name;
      EXPECT_EQ(o.err, "") << verb.name;
      EXPECT_THAT(o.out, HasSubstr("Usage:   fathom " + verb.name));
      EXPECT_THAT(o.out, HasSubstr("Example: fathom " + verb.name));
    }
    EXPECT_THAT(run({"--help"}).out, HasSubstr(verb.summary));
  }
}

TEST_F(DescribeTest, HelpListsEveryFieldOfARun) {
  RunConfig c;
  FieldList list;
  add_fields(list, c);
  for (const char* verb : {"describe", "train"}) {
    const std::string help = testing::whole_help(place_, verb);
    for (const Field& field : list.all()) {
      EXPECT_THAT(help, HasSubstr("\n  --" + field.name() + " ")) << verb;
      EXPECT_THAT(help, HasSubstr(field.help()));
      for (const std::string& alias : field.aliases()) EXPECT_THAT(help, HasSubstr("--" + alias));
    }
  }
}

TEST_F(DescribeTest, HelpFitsATerminal) {
  for (const Verb& verb : verbs())
    for (const char* topic : {"--help", "--help=all"}) {
      std::istringstream lines(run({verb.name, topic}).out);
      for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
    }
}

TEST_F(DescribeTest, HelpBeginsWithTheUsualKeysAndNamesTheSections) {
  for (const char* verb : {"train", "describe", "plan", "bench"}) {
    const std::string help = run({verb, "--help"}).out;
    EXPECT_LT(std::count(help.begin(), help.end(), '\n'), 70) << verb;
    for (const char* key : {"n_layer", "dataset", "learning_rate", "max_iters", "halt_rule"})
      EXPECT_THAT(help, HasSubstr("\n  --" + std::string(key) + " ")) << verb;
    EXPECT_THAT(help, Not(HasSubstr("--spike_window"))) << verb;
    EXPECT_THAT(help, HasSubstr("\n  guards           4  nonfinite, spike_sigma")) << verb;
  }
  const std::string guards = run({"train", "quickstart", "--help=guards"}).out;
  EXPECT_THAT(guards, HasSubstr("--spike_window"));
  EXPECT_THAT(guards, Not(HasSubstr("--n_layer")));
  const Outcome unknown = run({"train", "--help=gards"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean guards?"));
}

// The example lines that --help shows work as they stand.
TEST_F(DescribeTest, ExamplesWork) {
  place_.write("notes.txt", testing::small_text());
  prepare_text("shakespeare_char");
  const auto example = [&](const std::string& verb) {
    const std::string help = run({verb, "--help"}).out;
    const size_t start = help.find("Example: fathom ") + 16;
    std::istringstream words(help.substr(start, help.find('\n', start) - start));
    return Words(std::istream_iterator<std::string>(words), {});
  };
  for (const char* verb : {"list", "describe", "prepare"}) {
    const Outcome o = run(example(verb));
    EXPECT_EQ(o.exit_code, 0) << verb << o.err;
  }
  const Words train = example("train");
  EXPECT_TRUE(parse_train({train.begin() + 1, train.end()}));
}

TEST_F(DescribeTest, ARunIsDescribedAsItWasTrained) {
  RunState state = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
  state.config.model.backbone.n_layer = 3;
  state.config.training.max_iters = 2000;
  state.best_value = 1.625;
  testing::save_state("old", "last", state);
  state.step = 10;
  testing::save_state("old", "best", state);
  const Outcome o = run({"describe", "old"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, StartsWith("old: gpt2ish_shakespeare_cpu on rain, 30 of 2,000 steps, best "
                                "eval/val/loss\n     1.6250\n\nparameters\n"))
      << "what the run is, not what its preset is";
  const auto layers = [&](const Words& more) {
    Words words = {"describe", "old", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return nlohmann::json::parse(run(words).out)["config"]["n_layer"].get<int>();
  };
  EXPECT_EQ(layers({}), 3);
  EXPECT_EQ(layers({"--n_layer=2"}), 2);
  EXPECT_THAT(run({"describe", "old", "--n_layer=2"}).out, HasSubstr("note: n_layer = 2 (was 3)"));
  EXPECT_EQ(run({"describe", "older"}).exit_code, 2);
}

// Of a run that goes on, where it will.
TEST_F(DescribeTest, AResumeIsDescribedAsItWillGoOn) {
  RunState state = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
  state.config.training.max_iters = 2000;
  state.best_value = 1.625;
  testing::save_state("old", "last", state);
  const auto first_line = [&](const Words& more) {
    Words words = {"train", "gpt2ish_shakespeare_cpu", "--run_name=old", "--resume", "--describe"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return o.out.substr(0, o.out.find('\n'));
  };
  const std::string what = "old: gpt2ish_shakespeare_cpu on rain, ";
  EXPECT_THAT(first_line({}), StartsWith(what + "30 of 2,000 steps, best"));
  EXPECT_THAT(first_line({"--max_iters=500"}), StartsWith(what + "30 of 500 steps, best"));
  EXPECT_EQ(first_line({"--reset_history"}), what + "0 of 2,000 steps");
  // A best value that other numbers would be compared with is forgotten.
  EXPECT_EQ(first_line({"--eval_iters=7"}), what + "30 of 2,000 steps");
  place_.write("rain.txt", testing::small_text() + testing::small_text());
  prepare_text("snow");
  EXPECT_EQ(first_line({"--dataset=snow", "--accept_new_data"}),
            "old: gpt2ish_shakespeare_cpu on snow, 30 of 2,000 steps");
  const auto refused = [&](const Words& more) {
    Words words = {"train", "gpt2ish_shakespeare_cpu", "--run_name=old", "--resume"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 2);
    return o.err;
  };
  EXPECT_THAT(refused({"--dataset=snow", "--describe"}), HasSubstr("--accept_new_data=true takes"));
  EXPECT_EQ(refused({"--dataset=snow", "--describe"}), refused({"--dataset=snow"}));
}

TEST_F(DescribeTest, AConfigFileInTheExperimentsPlaceIsToldSo) {
  place_.write("x.py", "n_layer = 2\n");
  place_.write("run.toml", "# gpt2ish_med, as resolved\n[model]\n");
  place_.write("other.toml", "n_layer = 2\n");
  const auto refused = [&](const Words& words) {
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 2);
    return o.err;
  };
  EXPECT_THAT(refused({"train", "x.py"}), ::testing::HasSubstr("`gpt2 x.py`"));
  EXPECT_THAT(refused({"describe", "run.toml"}), ::testing::HasSubstr("`gpt2ish_med run.toml`"));
  EXPECT_THAT(refused({"train", "other.toml"}), ::testing::HasSubstr("`fathom list`"));
}

#if defined(__has_feature)  // clang's way to ask
#define FATHOM_HAS(sanitizer) __has_feature(sanitizer)
#else
#define FATHOM_HAS(sanitizer) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || FATHOM_HAS(address_sanitizer)
constexpr double kSlower = 20;
#else
constexpr double kSlower = 1;
#endif

// The least time that the processor gave it, for machines are shared and tests run beside tests.
TEST_F(DescribeTest, AnswersAtOnce) {
  for (const Words& words : {Words{"list"},
                             {"describe", "gpt2ish"},
                             {"train", "--help"},
                             {"completion", "words", "train", "--n_"}}) {
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < 7; ++i) {
      const std::clock_t start = std::clock();
      ASSERT_EQ(run(words).exit_code, 0);
      least = std::min(least, 1000.0 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    }
    EXPECT_LT(least, 100 * kSlower) << words[0] << ", in milliseconds";
  }
}

}  // namespace
}  // namespace fathom
