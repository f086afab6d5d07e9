// Several processes that train one run, started by --nproc.
#include "e2e/several_ranks.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST_F(SeveralRanks, HaveTheLossesOfOne) {
  const Outcome o = place_->train(words({"--nproc=2", "--run_name=two"}));
  ASSERT_EQ(o.exit_code, 0) << o.err;
  expect_same_losses("two");
  EXPECT_THAT(o.out, AllOf(HasSubstr("step 60/60"), HasSubstr("saved in runs/two"),
                           ContainsRegex("sums over 2 ranks: [0-9]+ % behind backward passes")));
  EXPECT_EQ(o.out.find("step 7/60"), o.out.rfind("step 7/60")) << "said once";
}

// Before they have met, and whichever moment of it.
TEST_F(SeveralRanks, ASignalWhileTheyStartEndsThemAtOnce) {
  for (const int milliseconds : {0, 150, 400}) {
    const pid_t parent =
        place_->start_train(words({"--nproc=2", "--run_name=starting", "--force"}));
    ASSERT_EQ(ranks_of(parent, 2).size(), 2U);
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    const auto begin = std::chrono::steady_clock::now();
    kill(parent, SIGTERM);
    const Outcome o = place_->wait_for(parent);
    EXPECT_EQ(o.exit_code, 143);
    EXPECT_LT(seconds_since(begin), 8);
    EXPECT_EQ(o.err, "");
  }
}

// Of what all decide, rank 0 speaks; of what one meets alone, that one, with its name.
TEST_F(SeveralRanks, AnErrorIsSaidOnce) {
  const Outcome o = place_->train(words({"--nproc=2", "--run_name=wrong", "--dtype=float16"}));
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, StartsWith("fathom: dtype = float16 cannot be trained"));
  EXPECT_EQ(o.err.find("dtype = float16"), o.err.rfind("dtype = float16")) << o.err;
  EXPECT_EQ(o.err.find("[rank"), std::string::npos) << o.err;
}

// The others have nothing to add but that it failed.
TEST_F(SeveralRanks, AnErrorOfOneIsSaidByThatOne) {
  std::filesystem::create_directory(place_->path("broken"));
  place_->write("broken/fathom.db", "no database");
  const Outcome o =
      place_->wait_for(place_->start_train(words({"--nproc=2", "--run_name=any"}), [&] {
        setenv("FATHOM_RUNS", place_->path("broken").c_str(), 1);
      }));
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("fathom.db is damaged"));
  EXPECT_EQ(o.err.find("fathom: "), o.err.rfind("fathom: ")) << o.err;
}

TEST_F(SeveralRanks, ReturnToACheckpointTogether) {
  const Outcome o = place_->train(
      words({"--run_name=back", "--nproc=2", "--nonfinite=rollback", "--learning_rate=1e30",
             "--warmup_iters=0", "--decay_lr=False", "--grad_clip=0", "--quiet"}));
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("10 returns to step"));
  EXPECT_EQ(o.err.find("returns to step"), o.err.rfind("returns to step")) << "said once";
}

TEST_F(SeveralRanks, OneThatIsKilledEndsAll) {
  const pid_t parent = start_long("killed");
  kill(ranks_of(parent, 2)[1], SIGKILL);
  const std::string sentence = "rank 1 was ended by signal 9";
  const Outcome o = expect_loss_of("killed", parent, sentence);
  EXPECT_EQ(o.exit_code, 137);
  EXPECT_EQ(o.err.find(sentence), o.err.rfind(sentence)) << "said once\n" << o.err;
}

TEST_F(SeveralRanks, OneThatIsStoppedEndsAll) {
  const pid_t parent = start_long("stopped");
  kill(ranks_of(parent, 2)[1], SIGSTOP);
  expect_loss_of("stopped", parent, "rank 1 ");
}

TEST_F(SeveralRanks, ASignalToOneSavesOnceAndEndsAll) {
  const pid_t parent = start_long("signal");
  kill(ranks_of(parent, 2)[1], SIGTERM);
  const Outcome o = place_->wait_for(parent);
  EXPECT_EQ(o.exit_code, 143);
  EXPECT_EQ(o.err, "");
  EXPECT_THAT(o.out, HasSubstr("interrupted; saved at step"));
  EXPECT_GE(place_->saved_step("signal"), 10);
}

TEST_F(SeveralRanks, ASignalToTheFirstProcessDoesTooAndNobodyElseCouldConnect) {
  const pid_t parent = start_long("all");
  for (const pid_t rank : ranks_of(parent, 2)) {
    for (const std::string& address : listening(rank))
      EXPECT_EQ(address.rfind("0100007F:", 0), 0U) << address << " is open to others";
  }
  kill(parent, SIGINT);
  const Outcome o = place_->wait_for(parent);
  EXPECT_EQ(o.exit_code, 130);
  EXPECT_EQ(o.err, "");
  EXPECT_THAT(o.out, HasSubstr("interrupted; saved at step"));
}

}  // namespace
}  // namespace fathom::testing
