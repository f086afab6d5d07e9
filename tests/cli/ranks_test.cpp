// `fathom train` as one of several processes, up to where the engine would begin: what a launcher's
// variables make of the request, and who says what.
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "cli/cli_testing.h"
#include "cli/saved_run.h"
#include "fathom/base/processors.h"
#include "fathom/cli/train/request.h"
#include "fathom/cli/verbs.h"
#include "fathom/parallel/launch.h"
#include "fathom/parallel/launcher.h"
#include "fathom/train/recipe/launched_run.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Outcome;
using ::testing::StartsWith;
using testing::Words;
using Variables = std::map<std::string, std::string>;

class RankRequest : public testing::CliTest {
 protected:
  ~RankRequest() override { set({}); }

  static Words words(const Words& more) {
    Words all = {"gpt2ish_shakespeare_cpu", "--dataset=rain", "--block_size=16",
                 "--gradient_accumulation_steps=2"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // In this process: of rank 0, for another one's output is put away.
  void set(const Variables& variables) {
    for (const auto& [name, value] : set_) unsetenv(name.c_str());
    set_ = variables;
    for (const auto& [name, value] : set_) setenv(name.c_str(), value.c_str(), 1);
  }
  static Variables torchrun(const std::string& rank, const std::string& restarts = "0",
                            const std::string& most = "0") {
    return {{"RANK", rank},
            {"WORLD_SIZE", "2"},
            {"LOCAL_RANK", rank},
            {"LOCAL_WORLD_SIZE", "2"},
            {"MASTER_ADDR", "127.0.0.1"},
            {"MASTER_PORT", "29500"},
            {"TORCHELASTIC_RUN_ID", "none"},
            {"OMP_NUM_THREADS", "1"},
            {"TORCHELASTIC_RESTART_COUNT", restarts},
            {"TORCHELASTIC_MAX_RESTARTS", most}};
  }
  static Variables slurm(const std::string& job, const std::string& restarts) {
    return {{"SLURM_JOB_ID", job},
            {"SLURM_STEP_ID", "0"},
            {"SLURM_PROCID", "0"},
            {"SLURM_STEP_NUM_TASKS", "2"},
            {"SLURM_LOCALID", "0"},
            {"SLURM_NODEID", "0"},
            {"SLURM_STEP_TASKS_PER_NODE", "2"},
            {"SLURM_STEP_NODELIST", "n1"},
            {"SLURM_RESTART_COUNT", restarts}};
  }
  // A run at step 30; its checkpoint.
  static std::string saved(const std::string& run) {
    return testing::save_state(run, "last",
                               testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30));
  }
  Outcome run_as(const Variables& variables, const Words& more) const {
    Words all = words(more);
    all.insert(all.begin(), "train");
    return place_.wait_for(place_.start(all, [&] {
      for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    }));
  }
  static Engines engines(const Words& more) {
    for (const Verb& verb : verbs())
      if (verb.name == "train") return verb.check(words(more));
    return false;
  }

 private:
  Variables set_;
};

TEST_F(RankRequest, ManyBeginWhereTheyAreAskedFor) {
  EXPECT_EQ(engines({}).here, 1);
  EXPECT_EQ(engines({"--nproc=2"}).here, 2);
  EXPECT_EQ(engines({"--nproc_per_node", "2"}).sharing, 2);
  set(torchrun("0"));
  EXPECT_EQ(engines({}).here, 1);
  EXPECT_EQ(engines({}).sharing, 2);
  EXPECT_TRUE(engines({}).forget_threads) << "the launcher's 1 is nobody's choice";
  set({{"OMPI_COMM_WORLD_RANK", "0"},
       {"OMPI_COMM_WORLD_SIZE", "2"},
       {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
       {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
       {"PMIX_NAMESPACE", "1"},
       {"OMPI_MCA_orte_bound_at_launch", "1"}});
  EXPECT_EQ(engines({}).sharing, 1) << "it has processors of its own";
}

TEST_F(RankRequest, WhatIsBetweenRanksNeedsSeveral) {
  const auto said = [&](const Variables& variables, Words words) {
    words.insert(words.end(), {"--describe", "--reduce_dtype=bfloat16", "--shard_optimizer"});
    return run_as(variables, words).out;
  };
  EXPECT_THAT(said({}, {}),
              AllOf(HasSubstr("reduce_dtype = bfloat16 has no effect: it needs several ranks"),
                    HasSubstr("shard_optimizer = true has no effect: it needs several ranks")));
  EXPECT_THAT(said({}, {"--nproc=2"}), Not(HasSubstr("has no effect")));
  EXPECT_THAT(said(torchrun("0"), {}), Not(HasSubstr("has no effect")));
}

TEST_F(RankRequest, TwoWhoStartRanksAreOneTooMany) {
  const Outcome o = run_as(torchrun("0"), {"--nproc=2"});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, HasSubstr("nproc = 2 would start ranks, but torchrun has started this process "
                               "as rank 0 of 2"));
}

// Some more ranks than processors start, and are told of it by a note; a crowd is refused at once.
TEST_F(RankRequest, MoreRanksThanTheMachineCarriesAreRefused) {
  const int most = most_threads(online_processors());
  const auto with = [&](int n) {
    return Words{"--nproc=" + std::to_string(n),
                 "--gradient_accumulation_steps=" + std::to_string(n)};
  };
  EXPECT_EQ(engines(with(most)).here, most);
  if (most == 1024) return;  // the field's own limit
  const Error error = testing::refusal_of([&] { engines(with(most + 1)); });
  EXPECT_EQ(error.kind(), ErrorKind::kUsage);
  EXPECT_THAT(error.what(),
              AllOf(HasSubstr("nproc = " + std::to_string(most + 1) + " is more than the machine"),
                    HasSubstr("allowed: 1 to " + std::to_string(most))));
}

TEST_F(RankRequest, AHalfSetEnvironmentIsRefused) {
  const Outcome o = run_as({{"RANK", "0"}, {"WORLD_SIZE", "2"}}, {});
  EXPECT_EQ(o.exit_code, 2);
  EXPECT_THAT(o.err, AllOf(StartsWith("fathom: MASTER_ADDR is not set, though WORLD_SIZE is"),
                           HasSubstr("HINT: torchrun sets them all")));
  EXPECT_EQ(place_.wait_for(place_.start({"list"}, [] { setenv("RANK", "0", 1); })).exit_code, 0)
      << "it is for those who train together";
}

TEST_F(RankRequest, RankZeroSpeaksForAll) {
  EXPECT_THAT(run_as(torchrun("0"), {"--describe"}).out, HasSubstr("n_layer"));
  const Outcome other = run_as(torchrun("1"), {"--describe"});
  EXPECT_EQ(other.exit_code, 0);
  EXPECT_EQ(other.out + other.err, "");
  // Who only sets torchrun's variables may end nobody.
  Variables plain = torchrun("1");
  plain.erase("TORCHELASTIC_RUN_ID");
  EXPECT_THAT(run_as(plain, {"--n_layer=0"}).err,
              StartsWith("[rank 1] fathom: --n_layer: n_layer = 0"));
}

// Of the ranks that one launcher ends together, the first of a machine says what all refuse; where
// nobody ends the others, they had reasons of their own.
TEST_F(RankRequest, OfTorchrunsRanksTheFirstRefusesAloud) {
  const auto refused = [&](const std::string& rank) {
    Variables variables = torchrun(rank);
    variables["TORCHELASTIC_ERROR_FILE"] = place_.path("error" + rank);
    return place_.start({"train", "gpt2ish_shakespeare_cpu", "--dataset=rain", "--n_layer=0"}, [=] {
      for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    });
  };
  const Outcome first = place_.wait_for(refused("0"));
  EXPECT_THAT(first.err, StartsWith("fathom: --n_layer: n_layer = 0"));
  EXPECT_EQ(first.exit_code, 2);
  const auto left = nlohmann::json::parse(testing::slurp(place_.path("error0"))).at("message");
  EXPECT_THAT(left.at("message").get<std::string>(),
              AllOf(StartsWith("--n_layer: n_layer = 0"), HasSubstr("\nHINT: ")));
  EXPECT_NO_THROW(std::stoll(left.at("extraInfo").at("timestamp").get<std::string>()));

  const pid_t ended = refused("1");
  std::this_thread::sleep_for(std::chrono::seconds(1));
  kill(ended, SIGTERM);
  const Outcome quiet = place_.wait_for(ended);
  EXPECT_EQ(quiet.exit_code, 143);
  EXPECT_EQ(quiet.out + quiet.err, "");

  // torchrun looks every five seconds.
  const auto begin = std::chrono::steady_clock::now();
  const Outcome alone = place_.wait_for(refused("1"));
  EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_EQ(alone.exit_code, 2);
  EXPECT_THAT(alone.err, StartsWith("[rank 1] fathom: --n_layer: n_layer = 0"));
}

TEST_F(RankRequest, WhatIsStartedAnewGoesOn) {
  saved("mine");
  EXPECT_ANY_THROW(parse_train(words({"--run_name=mine"})));
  set(torchrun("0", "1"));
  const auto request = parse_train(words({"--run_name=mine", "--force", "--max_iters=90"}));
  ASSERT_TRUE(request && request->resume);
  EXPECT_EQ(request->resume->state.step, 30);
  EXPECT_FALSE(request->options.force);
  // Ended before it had anything to go on from.
  EXPECT_FALSE(parse_train(words({"--run_name=new"}))->resume);
  set(torchrun("0", "0", "3"));
  EXPECT_NO_THROW(parse_train(words({"--run_name=new"})));
  EXPECT_THAT(testing::refusal_of([] { parse_train(words({})); }).what(),
              HasSubstr("nothing says which it would go on with"));
}

// Its first start was refused, for there is such a run; the second one is not to go on with it.
TEST_F(RankRequest, WhatWasThereBeforeTheLauncherIsNotGoneOnWith) {
  if (!launcher_start(kTorchrunRun)) GTEST_SKIP() << "who started this test cannot be looked at";
  const std::string last = saved("old");
  std::filesystem::last_write_time(
      last, std::filesystem::file_time_type::clock::now() - std::chrono::hours(24 * 365));
  set(torchrun("0", "1"));
  EXPECT_THAT(testing::refusal_of([] { parse_train(words({"--run_name=old"})); }).what(),
              HasSubstr("the run old exists already"));
  const auto request = parse_train(words({"--run_name=old", "--force"}));
  ASSERT_TRUE(request);
  EXPECT_FALSE(request->resume) << "it is to be removed";
}

// Two launches of a name that was typed for both are told apart by that alone.
TEST_F(RankRequest, TheNameOfALaunchIsNoProofOfItsAge) {
  if (!launcher_start(kTorchrunRun)) GTEST_SKIP() << "who started this test cannot be looked at";
  const std::string last = saved("old");
  Variables named = torchrun("0", "1");
  named["TORCHELASTIC_RUN_ID"] = "100";
  set(named);
  record_launch(run_folder("old"), launch_of(process_environment()));
  EXPECT_TRUE(parse_train(words({"--run_name=old"}))->resume);
  std::filesystem::last_write_time(
      last, std::filesystem::file_time_type::clock::now() - std::chrono::hours(24 * 365));
  EXPECT_THAT(testing::refusal_of([] { parse_train(words({"--run_name=old"})); }).what(),
              HasSubstr("the run old exists already: " + run_folder("old") +
                        ", which is older than this torchrun"));
}

// A job that Slurm has queued again may have waited for days, while others took the name.
TEST_F(RankRequest, ALaunchThatHasANameGoesOnWithItsOwnRunAlone) {
  Variables named = torchrun("0", "1");
  named["TORCHELASTIC_RUN_ID"] = "7";
  const auto launch = [&](const Variables& variables) {
    set(variables);
    return launch_of(process_environment());
  };
  const Launch nobody = launch({}), unnamed = launch(torchrun("0", "1"));
  const Launch job = launch(slurm("7", "1")), other = launch(slurm("8", "0"));
  const Launch run = launch(named);
  saved("old");
  const auto goes_on = [&](const Variables& variables, const Launch& made_by) {
    set(variables);
    record_launch(run_folder("old"), made_by);
    try {
      const auto request = parse_train(words({"--run_name=old"}));
      return request && request->resume && request->resume->state.step == 30;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), StartsWith("the run old exists already: " + run_folder("old")));
      EXPECT_THAT(error.hint(), HasSubstr("go on with it by --resume"));
      return false;
    }
  };
  EXPECT_TRUE(goes_on(slurm("7", "1"), job));
  EXPECT_TRUE(goes_on(named, run));
  EXPECT_TRUE(goes_on(torchrun("0", "1"), unnamed)) << "nobody can say";
  Variables uncounted = torchrun("0", "0", "3");
  EXPECT_FALSE(goes_on(uncounted, unnamed)) << "a first start";
  uncounted["TORCHELASTIC_RUN_ID"] = "7";
  EXPECT_TRUE(goes_on(uncounted, run)) << "its agent does not count every restart";
  EXPECT_FALSE(goes_on(uncounted, job));
  EXPECT_FALSE(goes_on(torchrun("0", "1"), other));
  EXPECT_FALSE(goes_on(named, job)) << "another launcher's 7";
  for (const Launch& made_by : {other, run, unnamed, nobody})
    EXPECT_FALSE(goes_on(slurm("7", "1"), made_by)) << made_by.by << made_by.id;
  EXPECT_THAT(testing::refusal_of([] { parse_train(words({"--run_name=old"})); }).what(),
              HasSubstr(", which srun 7 did not train last"));
  // Who says so goes on, or removes it.
  EXPECT_TRUE(parse_train(words({"--run_name=old", "--resume"}))->resume);
  EXPECT_FALSE(parse_train(words({"--run_name=old", "--force"}))->resume);
  EXPECT_FALSE(parse_train(words({}))->resume) << "a name of its own time";
}

// What a job's one task decides, the ranks that it starts decide too.
TEST_F(RankRequest, RanksOfOneTaskGoOnAsItDoes) {
  saved("old");
  const int files[] = {memfd_create(kRanksMemory, 0), memfd_create(kRanksMemory, 0)};
  const Variables ranks = {{kRanks, std::to_string(files[0]) + "," + std::to_string(files[1])},
                           {"RANK", "0"},
                           {"WORLD_SIZE", "2"},
                           {"LOCAL_RANK", "0"},
                           {"LOCAL_WORLD_SIZE", "2"}};
  const auto goes_on = [&](const std::string& job, bool is_rank) {
    Variables task = slurm(job, "1");
    task["SLURM_STEP_NUM_TASKS"] = task["SLURM_STEP_TASKS_PER_NODE"] = "1";
    set(task);
    if (is_rank) {
      task[kRanksLaunch] = handed_on(launch_of(process_environment()));
      task.insert(ranks.begin(), ranks.end());
      set(task);
    }
    if (job == "7") record_launch(run_folder("old"), launch_of(process_environment()));
    try {
      return parse_train(words({"--run_name=old", "--nproc=2"}))->resume.has_value();
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(", which srun 8 did not train last"));
      return false;
    }
  };
  for (const bool is_rank : {false, true}) {
    EXPECT_TRUE(goes_on("7", is_rank));
    EXPECT_FALSE(goes_on("8", is_rank));
  }
  close(files[0]), close(files[1]);
}

// Agents of several machines count restarts each for itself.
TEST_F(RankRequest, RankZeroDecidesWhetherARunGoesOn) {
  saved("old");
  const auto goes_on = [&](const Variables& variables, std::optional<bool> first) {
    set(variables);
    return parse_train_of_rank(words({"--run_name=old"}), first)->resume.has_value();
  };
  // As rank 1, in a process of its own, whose output is put away.
  const auto as_second = [&] {
    return goes_on(torchrun("1", "0", "3"), true) && !goes_on(torchrun("1", "1", "3"), false) &&
           goes_on(torchrun("1", "1", "3"), {}) && !goes_on(torchrun("1", "0", "3"), {});
  };
  EXPECT_EXIT(std::_Exit(as_second() ? 7 : 1), ::testing::ExitedWithCode(7), "");
  // Which says so itself that the name is taken.
  set(torchrun("0", "0", "3"));
  EXPECT_THAT(testing::refusal_of([] { parse_train(words({"--run_name=old"})); }).what(),
              HasSubstr("the run old exists already"));
}

}  // namespace
}  // namespace fathom
