// A run is asked from another folder than the one where it was trained, and finds its data again.
#include "e2e/small_run.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class Elsewhere : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new SmallRuns;
    for (const char* run : {"here", "there"})
      ASSERT_EQ(place_->train({std::string("--run_name=") + run, "--max_iters=6"}).exit_code, 0);
    std::filesystem::create_directories(place_->path("far/away"));
  }
  static void TearDownTestSuite() { delete place_; }

  // As typed in far/away.
  static Outcome from_away(const Words& words, const char* runs = nullptr) {
    return place_->wait_for(place_->start(words, [=] {
      if (chdir("far/away") != 0) _exit(127);
      if (runs != nullptr) setenv("FATHOM_RUNS", runs, 1);
    }));
  }

  static SmallRuns* place_;
};
SmallRuns* Elsewhere::place_ = nullptr;

TEST_F(Elsewhere, EveryVerbThatReadsTheTextFindsIt) {
  const Words measure = {"eval", "here", "--json"};
  const Outcome home = place_->run(measure);
  ASSERT_EQ(home.exit_code, 0) << home.err;
  const Outcome away = from_away(measure, "../../runs");
  EXPECT_EQ(away.exit_code, 0) << away.err;
  EXPECT_THAT(away.out, HasSubstr("\"same_corpus\": true"));
  EXPECT_THAT(away.err, AllOf(HasSubstr("rain is read from"), HasSubstr("/data/rain")));
  for (const Words& words :
       {Words{"trace", "../../runs/here", "--num_chars=10"},
        Words{"sizes", "../../runs/here", "--batches=1"}, Words{"describe", "../../runs/here"}}) {
    const Outcome o = from_away(words);
    EXPECT_EQ(o.exit_code, 0) << words[0] << ": " << o.err;
    EXPECT_THAT(o.out, Not(HasSubstr("training takes the corpus's")));
  }
  EXPECT_THAT(home.err, Not(HasSubstr("is read from"))) << "at home there is nothing to say";
}

TEST_F(Elsewhere, AResumeByItsPathEndsWithTheSameBytes) {
  ASSERT_EQ(place_->train({"--run_name=here", "--resume", "--max_iters=9"}).exit_code, 0);
  const Outcome o = from_away(
      SmallRuns::train_words({"--run_name=../../runs/there", "--resume", "--max_iters=9"}));
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("rain is read from"),
                           HasSubstr("`fathom generate ../../runs/there`")));
  EXPECT_EQ(place_->bytes_of("here"), place_->bytes_of("there"))
      << "which do not say where they were made";
  const Outcome exported = place_->run({"export", "there", "--metrics=jsonl"});
  EXPECT_THAT(exported.out, HasSubstr("\"step\":9")) << "in the store beside the run";
  const Outcome fresh = from_away(SmallRuns::train_words({"--run_name=../../runs/new"}));
  EXPECT_EQ(fresh.exit_code, 2);
  EXPECT_THAT(fresh.err, HasSubstr("FATHOM_RUNS names the folder of runs"));
}

// The last one: it takes the folder apart.
TEST_F(Elsewhere, RunsAndDataMayMoveTogether) {
  std::filesystem::create_directories(place_->path("moved"));
  for (const char* name : {"runs", "data"})
    std::filesystem::rename(place_->path(name), place_->path(std::string("moved/") + name));
  const Outcome o = from_away({"eval", "../../moved/runs/here"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.err, HasSubstr("moved/data/rain"));
  std::filesystem::rename(place_->path("moved/data"), place_->path("moved/gone"));
  const Outcome none = from_away({"eval", "../../moved/runs/here"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, AllOf(HasSubstr("no prepared corpus \"rain\""), HasSubstr("HINT:"),
                              HasSubstr("FATHOM_DATA")));
}

}  // namespace
}  // namespace fathom::testing
