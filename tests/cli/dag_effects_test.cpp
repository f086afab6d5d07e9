// Every option of `fathom dag` changes something; what it shows: experiments/dag and e2e.
#include "cli/effects_testing.h"
#include "cli/saved_run.h"
#include "experiments/dag/verbs/dag/request.h"

namespace fathom {
namespace {

using dag::parse_dag;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class DagEffects : public testing::EffectsTest {
 protected:
  static void make_runs() {
    for (const char* name : {"best", "last"})
      testing::save_state("sums", name, testing::saved_state("dag_small", "rain", 30));
  }
  void dag_effects();
};

void DagEffects::dag_effects() {
  const auto asked = [=](const testing::Words& more) {
    make_runs();
    testing::Words words = {"sums", "--text=1 + 2"};
    words.insert(words.end(), more.begin(), more.end());
    return *parse_dag(words);
  };
  effects_["dag checkpoint"] = [=] {
    EXPECT_EQ(fs::path(asked({}).model.folder).filename(), "best");
    EXPECT_EQ(fs::path(asked({"--checkpoint=last"}).model.folder).filename(), "last");
  };
  effects_["dag policy"] = [=] {
    EXPECT_EQ(asked({"--policy=dag_select=st_argmax"}).model.policy, "dag_select=st_argmax");
    EXPECT_ANY_THROW(asked({"--policy=dag_depth=3"})) << "it shapes the weights";
  };
  effects_["dag text"] = [=] {
    EXPECT_EQ(asked({}).text, "1 + 2");
    EXPECT_THAT(testing::refusal_of([] { parse_dag({"sums"}); }).hint(), HasSubstr("--text"));
  };
  effects_["dag token"] = [=] {
    EXPECT_FALSE(asked({}).token.has_value());
    EXPECT_EQ(asked({"--token=3"}).token, 3);
  };
  effects_["dag all"] = [=] {
    EXPECT_TRUE(asked({"--all"}).all);
    EXPECT_THAT(testing::refusal_of([&] {
                  asked({"--all", "--token=3"});
                }).what(),
                HasSubstr("token names one token"));
  };
  effects_["dag format"] = [=] {
    EXPECT_EQ(asked({"--format=markdown"}).output.format, report::Format::kMarkdown);
  };
  effects_["dag json"] = [=] { EXPECT_EQ(asked({"--json"}).output.format, report::Format::kJson); };
  effects_["dag output"] = [=] {
    EXPECT_EQ(asked({"--output=a.md"}).output.format, report::Format::kMarkdown);
  };
}

TEST_F(DagEffects, EachOptionChangesSomething) {
  dag_effects();
  expect_all([](const std::string& verb) { return verb == "dag"; });
}

// What training knows of a program it knows behind the last operand.
TEST_F(DagEffects, AnExpressionIsAskedBehindIt) {
  const auto behind = [](const char* preset, const char* dataset, const testing::Words& more) {
    RunState state = testing::saved_state(preset, "rain", 30);
    state.config.data.dataset = dataset;
    testing::save_state("asked", "last", state);
    testing::Words words = {"asked"};
    words.insert(words.end(), more.begin(), more.end());
    return parse_dag(words)->behind;
  };
  const char* const kStack = "dag_small_stack";
  EXPECT_EQ(behind(kStack, "numbers", {"--text=1 + 2"}), " =") << "results follow";
  EXPECT_EQ(behind("dag_predictor_small", "numbers", {"--text=two plus 3.5"}), "\n");
  EXPECT_EQ(behind(kStack, "numbers", {"--text=1 + 2 = "}), "");
  EXPECT_EQ(behind(kStack, "numbers", {"--text=the rain"}), "");
  EXPECT_EQ(behind(kStack, "numbers", {"--text=1 + 2", "--token=4"}), "");
  EXPECT_EQ(behind(kStack, "numbers", {"--text=1 + 2", "--all"}), "");
  EXPECT_EQ(behind(kStack, "rain", {"--text=1 + 2"}), "");
}

TEST_F(DagEffects, ARunWithoutProgramsIsRefused) {
  testing::save_state("plain", "last", testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30));
  RunState flat = testing::saved_state("dag_small", "rain", 30);
  flat.config.model.own.integer("dag_depth", 0) = 0;
  testing::save_state("flat", "last", flat);
  for (const auto& [run, why] : {std::pair{"plain", "no dag_depth"}, {"flat", "dag_depth = 0"}}) {
    const Error error = testing::refusal_of([&, name = run] { parse_dag({name, "--text=1"}); });
    EXPECT_THAT(error.what(), HasSubstr(why));
    EXPECT_THAT(error.hint(), HasSubstr("fathom train dag_small"));
  }
}

TEST_F(DagEffects, APictureNeedsGraphviz) {
  make_runs();
  const std::string path = std::getenv("PATH");
  ::setenv("PATH", "/no/such", 1);
  const Error error = testing::refusal_of([] { parse_dag({"sums", "--text=1", "--format=svg"}); });
  EXPECT_EQ(parse_dag({"sums", "--text=1", "--all", "--format=svg"})->all, true)
      << "a table needs none";
  ::setenv("PATH", path.c_str(), 1);
  EXPECT_THAT(error.hint(), HasSubstr("apt-get install graphviz"));
}

}  // namespace
}  // namespace fathom
