// `fathom sweep`: what is checked before the first run starts; e2e/sweep_test.cpp lets them run.
#include "cli/cli_testing.h"
#include "cli/saved_run.h"
#include "fathom/study/many_runs/sweep_record.h"
#include "fathom/track/run_store.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Outcome;
using testing::Words;
namespace fs = std::filesystem;

constexpr const char* kRecipe =
    "preset = \"gpt2ish_shakespeare_cpu\"\nseeds = [1, 2]\nbudget = {steps = 20}\n"
    "[base]\ndataset = \"rain\"\nblock_size = 16\n[grid]\nn_layer = [1, 2]\n";

class SweepTest : public testing::CliTest {
 protected:
  SweepTest() { place_.write("w.toml", kRecipe); }
  Outcome sweep(Words words) const {
    words.insert(words.begin(), "sweep");
    return run(words);
  }
  void make_begun(const std::string& name, RunStatus status) const {
    testing::save_state(name, "last", testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 5));
    place_.write("runs/" + name + "/config.toml", "");
    RunStore store(place_.path("runs/fathom.db"));
    store.set_status(store.create_run(name, "gpt2ish_shakespeare_cpu", ""), status);
  }
};

TEST_F(SweepTest, ADryRunSaysWhatWouldBeDoneAndDoesNothing) {
  const Outcome o = sweep({"w.toml", "--dry_run"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("w: 4 runs, 2 settings and 2 seeds; 0 are complete"),
                           HasSubstr("  fathom train gpt2ish_shakespeare_cpu "
                                     "--run_name=w-n_layer1-s1 --dataset=rain --block_size=16 "
                                     "--max_iters=20 --n_layer=1 --seed=1\n"),
                           HasSubstr("left: 4 runs, at most"), HasSubstr("FLOPs")));
  EXPECT_FALSE(fs::exists(place_.path("runs")));
}

TEST_F(SweepTest, EverythingIsCheckedBeforeTheFirstRunStarts) {
  const auto refused = [&](const std::string& recipe, int exit_code = 2) {
    place_.write("x.toml", recipe);
    const Outcome o = sweep({"x.toml"});
    EXPECT_EQ(o.exit_code, exit_code) << o.out;
    EXPECT_FALSE(fs::exists(place_.path("runs/x.toml")));
    return o.err;
  };
  const std::string recipe = kRecipe;
  EXPECT_THAT(refused(recipe + "n_layers = [1]\n"), HasSubstr("did you mean n_layer?"));
  // Each by itself is allowed; only the last setting has no meaning.
  EXPECT_THAT(refused(recipe + "n_embd = [32, 30]\nn_head = [4]\n"),
              AllOf(HasSubstr("x-n_layer1-n_embd30-n_head4-s1: "), HasSubstr("n_head")));
  EXPECT_THAT(refused("preset = \"gpt2ish_shakespeare_cpu\"\nseeds = [1]\n"
                      "[base]\ndataset = \"snow\"\n",
                      1),
              HasSubstr("snow"));
  Outcome o = sweep({"y.toml"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("no recipe y.toml"));
}

TEST_F(SweepTest, RunsThatAreThereGoOnOnlyWhereTheyAreTheSame) {
  make_begun("w-n_layer1-s1", RunStatus::kDone);
  Outcome o = sweep({"w.toml", "--dry_run"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("w-n_layer1-s1 is there already, and no sweep w has made it"));
  place_.write("runs/w.toml", kRecipe);
  o = sweep({"w", "--dry_run"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("1 are complete"), HasSubstr("  w-n_layer1-s1 is complete\n"),
                           HasSubstr("left: 3 runs")));
  place_.write("w.toml", std::string(kRecipe) + "dropout = [0.5]\n");
  EXPECT_EQ(sweep({"w.toml", "--dry_run"}).exit_code, 0) << "other names: other runs";
  std::string longer = kRecipe;
  longer.replace(longer.find("20"), 2, "30");
  place_.write("w.toml", longer);
  o = sweep({"w.toml", "--dry_run"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("begun under other settings: --max_iters=30 is new"));
}

TEST_F(SweepTest, AnInterruptedRunIsGoneOnWith) {
  place_.write(
      "w.toml",
      "preset = \"gpt2ish_shakespeare_cpu\"\nseeds = [1337]\n[base]\ndataset = \"rain\"\n");
  make_begun("w-s1337", RunStatus::kInterrupted);
  fs::copy_file(place_.path("w.toml"), place_.path("runs/w.toml"));
  const Outcome o = sweep({"w.toml", "--dry_run"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr("1 are begun"), HasSubstr("--seed=1337 --resume\n")));
}

TEST_F(SweepTest, ABudgetInTokensIsAPlanThatIsKeptBesideTheRecipe) {
  std::string recipe = kRecipe;
  recipe.replace(recipe.find("steps = 20"), 10, "tokens = 1024");
  place_.write("w.toml", recipe);
  const Outcome o = sweep({"w.toml", "--dry_run"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, AllOf(HasSubstr(" --training_plan=runs/w.plan.json\n"),
                           Not(HasSubstr("fathom-sweep-")), HasSubstr("left: 4 runs")));
  recipe.replace(recipe.find("tokens = 1024"), 13, "tokens = 1e99");
  place_.write("w.toml", recipe);
  EXPECT_EQ(sweep({"w.toml", "--dry_run"}).exit_code, 2);
}

TEST_F(SweepTest, ASweepIsKnownByItsName) {
  fs::create_directories(place_.path("runs/run"));
  place_.write("runs/w.toml", kRecipe);
  place_.write("runs/run.toml", kRecipe);
  EXPECT_EQ(stored_recipe("w"), recipe_path("w"));
  EXPECT_EQ(stored_recipe("run"), "") << "a run is called so";
  EXPECT_EQ(stored_recipe("nothing"), "");
  EXPECT_EQ(stored_recipe(place_.path("w.toml")), place_.path("w.toml"));
  EXPECT_EQ(stored_recipe(""), "");
}

}  // namespace
}  // namespace fathom
